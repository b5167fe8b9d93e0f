"""`LLM`: offline inference on the caller's thread, without a server."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from numbers import Integral
from operator import index
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from transformers import PreTrainedTokenizerBase

from qstar_infer.engine.build_runner import AnyModel
from qstar_infer.engine.create import create_llm_engine
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.protocol import AdmittedRequest, EngineRequest, ModelInfo
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError, RequestError, shown
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.source_name import source_text
from qstar_infer.outputs import EngineStats, RequestOutput
from qstar_infer.ranking import MeanLogprobRanker, Ranker, best_outputs
from qstar_infer.sampling_params import SamplingParams

Prompt = str | Sequence[int]


class LLM:
    """A model with an engine, for use without a server.

    Example:
        ```python
        llm = LLM()  # the default model
        outs = llm.generate("The sky is", SamplingParams(max_tokens=8, temperature=0.0))
        print(outs[0].outputs[0].text, outs[0].outputs[0].thoughts[0].thought)
        ```
    """

    def __init__(
        self,
        source: str | Path | None = None,
        *,
        model: AnyModel | str | Path | None = None,
        ranker: Ranker | None = None,
        **settings: Any,
    ) -> None:
        """
        Args:
            source: "lab", a directory, a .gguf file or a hub id; None: the default model.
            model: a loaded model (a `QuietStarModel` or a `LlamaCppModel`), to use instead of
                loading `source`; or an alias of `source`, as in vLLM.
            ranker: ranks the candidates of `best_of`; None: by mean log-probability.
            **settings: any setting of `EngineArgs` and `EngineConfig`, such as `dtype`, `device`,
                `quantization`, `speculation` ("auto", "off" or a depth) or `max_num_seqs`.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
            ConfigError: a setting is unknown or out of range, or does not fit the model.
        """
        loaded, source = _model_or_source(model, source)
        settings = {name: _as_text(value) for name, value in settings.items()}
        args = EngineArgs.of(model=None if source is None else source_text(source), **settings)
        self._engine, self._model = create_llm_engine(args, model=loaded)
        self._ranker = MeanLogprobRanker() if ranker is None else ranker
        self._deltas: dict[str, deque[RequestOutput | RequestFailure]] = {}
        """For each open request, the deltas that are not yet returned."""

    @classmethod
    def from_engine_args(cls, args: EngineArgs) -> "LLM":
        """Create from settings that were parsed elsewhere, such as on a command line.

        Raises:
            CheckpointError: the checkpoint cannot be loaded.
            ConfigError: a setting does not fit the model or the machine.
        """
        settings = args.settings()
        return cls(settings.pop("model"), **settings)

    @property
    def model(self) -> QuietStarModel:
        """The model as torch modules.

        Raises:
            ConfigError: the runner is llama.cpp, which has no such modules; or the model is
                sharded, so that this process has only a part of it.
        """
        if isinstance(self._model, QuietStarModel) and self._model.is_sharded:
            raise ConfigError(
                "LLM.model is a whole model, and with tensor_parallel_size this process has a "
                "shard of it; use load_model(...)"
            )
        if not isinstance(self._model, QuietStarModel):
            raise ConfigError(
                "LLM.model is a torch model, and the runner llama.cpp loads none; use "
                "LLM.served_model, or load_model(...)"
            )
        return self._model

    @property
    def served_model(self) -> AnyModel:
        """The model as its runner has it: a `QuietStarModel`, or a `LlamaCppModel`."""
        return self._model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._model.tokenizer

    @property
    def model_info(self) -> ModelInfo:
        return self._engine.model_info

    def default_sampling_params(self) -> SamplingParams:
        """The checkpoint's sampling settings; `SamplingParams`' defaults for the rest."""
        return self.model_info.sampling_defaults.params()

    def stats(self) -> EngineStats:
        """Counts since construction."""
        return self._engine.stats()

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> list[RequestOutput]:
        """Complete prompts in one batch.

        Args:
            prompts: a text or a list of token ids, or a list of these.
            sampling_params: one for all prompts, or a list with one for each. None:
                `default_sampling_params()`.

        Returns:
            One output for each prompt, in order.

        Raises:
            RequestError: a prompt or a parameter is invalid; nothing is generated.
            RequestFailedError: an internal error ended one of the requests; all are dropped.
        """
        admitted, texts = self._admit(prompts, sampling_params)
        outputs = [each.empty_output(text) for each, text in zip(admitted, texts, strict=True)]
        try:
            for each in admitted:
                self._open(each)
            for output in outputs:
                while not output.finished:
                    output.extend(self._next_delta(output.request_id))
        finally:
            for output in outputs:
                self._close(output.request_id)
        for output, each in zip(outputs, admitted, strict=True):
            output.outputs = best_outputs(output.outputs, each.request.params.n, self._ranker)
        return outputs

    def stream(
        self, prompt: Prompt, sampling_params: SamplingParams | None = None
    ) -> Generator[RequestOutput, None, None]:
        """Complete one prompt, delta by delta. Closing the generator aborts the request.

        Raises:
            RequestError: the prompt or a parameter is invalid; raised by the first `next`.
            RequestFailedError: an internal error ended the request.
        """
        (admitted,), (text,) = self._admit([prompt], sampling_params)
        request = admitted.request
        if request.params.num_candidates > request.params.n:
            raise RequestError(
                "best_of greater than n cannot be streamed, because the best completions are known "
                "only at the end; use generate, or leave best_of out",
                param="best_of",
            )
        self._open(admitted)
        try:
            is_finished = False
            while not is_finished:
                delta = self._next_delta(request.request_id)
                delta.prompt = text
                is_finished = delta.finished
                yield delta
        finally:
            self._close(request.request_id)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
    ) -> list[int]:
        """Token ids of a conversation, for `generate` or `stream`; see `Engine.render_chat`.

        Raises:
            RequestError: there is no chat template, or it refuses the conversation.
        """
        text = self._engine.chat_template.render(
            messages,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
        )
        return self._engine.token_text.encode(text, add_special_tokens=False)

    def close(self) -> None:
        """Abort open requests, check that all blocks and lane slots are free, and release what the
        runner holds. With the runner llama.cpp the `LLM` cannot be used any more."""
        for request_id in list(self._deltas):
            self._engine.abort(request_id)
        self._deltas.clear()
        self._engine.check_idle()
        self._engine.close()

    def _open(self, admitted: AdmittedRequest) -> None:
        self._engine.add_request(admitted)
        self._deltas[admitted.request.request_id] = deque()

    def _close(self, request_id: str) -> None:
        self._engine.abort(request_id)
        self._deltas.pop(request_id, None)

    def _next_delta(self, request_id: str) -> RequestOutput:
        """Step the engine until this request has a delta; deltas of other requests are queued.

        Raises:
            RequestError: `close` dropped the request.
            RequestFailedError: an internal error ended the request.
        """
        while True:
            waiting = self._deltas.get(request_id)
            if waiting is None:
                raise RequestError("the request was dropped because LLM.close() was called")
            if waiting:
                news = waiting.popleft()
                if isinstance(news, RequestFailure):
                    raise news.error
                return news
            for news in self._engine.step():
                self._deltas[news.request_id].append(news)

    def _admit(
        self,
        prompts: Prompt | Sequence[Prompt],
        params: SamplingParams | Sequence[SamplingParams] | None,
    ) -> tuple[list[AdmittedRequest], list[str | None]]:
        """Check all requests; returns them, and each prompt's text (None for token ids)."""
        each = _as_list(prompts)
        if params is None:
            params = self.default_sampling_params()
        admitted = [
            self._engine.admission.admit(
                EngineRequest(
                    request_id=uuid4().hex,
                    prompt_token_ids=self._token_ids(prompt),
                    params=settings,
                )
            )
            for prompt, settings in zip(each, _params_of_each(params, len(each)), strict=True)
        ]
        return admitted, [prompt if isinstance(prompt, str) else None for prompt in each]

    def _token_ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return self._engine.token_text.encode(prompt)
        try:
            return [index(token_id) for token_id in prompt]
        except TypeError as error:
            raise RequestError(
                f"a prompt must be a string or a list of integer token ids: {error}", param="prompt"
            ) from error


def _model_or_source(
    model: AnyModel | str | Path | None, source: str | Path | None
) -> tuple[AnyModel | None, str | Path | None]:
    """A loaded model or None, and the source to load or None."""
    if model is not None and source is not None:
        raise ConfigError("source and model are both given; give only one of them")
    if isinstance(model, str | Path):
        return None, model
    if model is not None and not isinstance(model, AnyModel):
        raise ConfigError(
            "model must be what load_model returns, or the path or name of a checkpoint, got a "
            f"{type(model).__name__}"
        )
    return model, source


def _as_text(value: Any) -> Any:
    """Convert dtypes and devices of torch to their names, because settings are plain data."""
    return (
        str(value).removeprefix("torch.")
        if isinstance(value, torch.dtype | torch.device)
        else value
    )


def _params_of_each(
    params: SamplingParams | Sequence[SamplingParams], num_prompts: int
) -> Sequence[SamplingParams]:
    if isinstance(params, SamplingParams):
        return [params] * num_prompts
    is_list = isinstance(params, Sequence)
    if not is_list or not all(isinstance(settings, SamplingParams) for settings in params):
        raise RequestError(
            "sampling_params must be SamplingParams(...), or a list with one for each prompt, got "
            f"{shown(params)}",
            param="sampling_params",
        )
    if len(params) != num_prompts:
        raise RequestError(
            f"there are {num_prompts} prompts, but {len(params)} sampling params; give one for all "
            "prompts, or one for each",
            param="sampling_params",
        )
    return params


def _as_list(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    if isinstance(prompts, str):
        return [prompts]
    is_token_ids = len(prompts) > 0 and all(isinstance(item, Integral) for item in prompts)
    return [prompts] if is_token_ids else list(prompts)  # type: ignore[list-item,arg-type]

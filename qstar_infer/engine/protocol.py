"""What a server may ask of an engine. Knows nothing of tensors, HTTP or how the engine works."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from qstar_infer.outputs import CompletionOutput, EngineStats, RequestOutput
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams

OutputListener = Callable[[RequestOutput | Exception], None]
"""Called on the engine's own thread with each delta, the last with `finished`, or once with the
error that ended the request. Must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts about the model an engine serves."""

    name: str
    max_model_len: int
    """Most visible tokens, prompt and output together."""
    vocab_size: int
    """Rows of the embedding: token ids are in [0, vocab_size)."""
    num_thought_tokens: int
    """Thought length as trained; 0 for a model that cannot think."""
    max_thought_tokens: int
    """Most thought tokens a request may ask for; 0 for a model that cannot think."""
    is_trained: bool
    """False while the thought parts are freshly initialised: thoughts then change nothing."""
    description: str
    """One sentence in plain words for start-up lines and model cards."""
    created: int
    """Unix time, seconds."""
    sampling_defaults: SamplingDefaults = SamplingDefaults()
    """What the checkpoint recommends for requests that say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One prompt and what to do with it."""

    request_id: str
    prompt_token_ids: list[int]
    params: SamplingParams
    show_thoughts: bool = True
    """Whether the output has `thoughts`. Their text is decoded only then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedRequest:
    """A request that one engine has checked and can serve, with its defaults filled in.

    Made by `Engine.admit` only.
    """

    request: EngineRequest
    num_thought_tokens: int
    """0 does not think."""
    thought_temperature: float
    max_tokens: int
    """Most visible tokens to produce."""
    eos_token_ids: frozenset[int]
    """Ids that end the output; empty where `ignore_eos` is set."""

    def empty_output(self, prompt: str | None = None) -> RequestOutput:
        """The whole output before its first delta; `RequestOutput.extend` adds those."""
        request = self.request
        return RequestOutput(
            prompt=prompt,
            request_id=request.request_id,
            prompt_token_ids=request.prompt_token_ids,
            outputs=[CompletionOutput(index=i) for i in range(request.params.num_candidates)],
        )


class Engine(Protocol):
    """A running engine. Every method may be called from any thread."""

    @property
    def model(self) -> ModelInfo: ...

    @property
    def is_alive(self) -> bool:
        """False once the engine loop has ended, by an error or by `close`."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text. Takes time with the text's length: call it off an event loop."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        ...

    def admit(self, request: EngineRequest) -> AdmittedRequest:
        """Check a request once. Takes time with the prompt's length: call it off an event loop.

        Raises:
            RequestError: this model and pool could never serve it; `param` names the field.
        """
        ...

    def submit(self, requests: Sequence[AdmittedRequest], listener: OutputListener) -> None:
        """Queue all of these requests, or none.

        Raises:
            RequestError: together they are more sequences than the engine may ever hold.
            QueueFullError: the queue has no room for all completions of all requests now.
            EngineDeadError: the engine loop has ended; EngineClosedError where `close` ended it.
        """
        ...

    def abort(self, request_id: str) -> None:
        """Drop a request and free what it holds; unknown or finished ids are ignored."""
        ...

    def stats(self) -> EngineStats: ...

    def close(self) -> None:
        """End the loop; open requests get EngineClosedError. Returns when the loop has ended."""
        ...

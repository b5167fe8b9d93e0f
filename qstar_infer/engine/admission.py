"""Which requests this model and pool can serve, and what their sequences look like."""

from qstar_infer.config import EngineConfig
from qstar_infer.engine.protocol import EngineRequest, ModelInfo
from qstar_infer.engine.sequence import Sequence
from qstar_infer.errors import ContextLengthError, RequestError
from qstar_infer.sampling_params import SamplingParams, shown


class Admission:
    """Checks requests against one model and one pool. Reads only; safe from any thread."""

    def __init__(
        self,
        model: ModelInfo,
        config: EngineConfig,
        *,
        num_blocks: int,
        delimiter_ids: tuple[int, ...],
        eos_token_ids: frozenset[int],
        num_positions: int | None,
    ) -> None:
        """
        Args:
            num_positions: rows of a learned position table, which thoughts use as well. None where
                positions are computed and a thought may reach past the context.
        """
        self._num_positions = num_positions
        self._model = model
        self._config = config
        self._num_blocks = num_blocks
        self._delimiter_ids = delimiter_ids
        self._eos_token_ids = eos_token_ids

    def check(self, request: EngineRequest) -> None:
        """
        Raises:
            RequestError: the request could never be served; `param` names the field at fault.
        """
        self._check_prompt(request.prompt_token_ids)
        self._check_token_ids(request.params)
        self._check_thinking(request.params)
        self._check_length(request)
        self._check_sequences(request.params)

    def context_limit(self, num_thought_tokens: int) -> int:
        """Most visible tokens of a sequence that thinks so long: by the model and by the pool."""
        size = self._config.block_size
        lane_slots = num_thought_tokens + 2 if num_thought_tokens else 0
        lane_blocks = -(-lane_slots // size)
        limits = [self._model.max_model_len, (self._num_blocks - lane_blocks) * size]
        if self._num_positions is not None:
            # The last token is not fed; the last thought begins behind the one before it.
            limits.append(self._num_positions - max(0, lane_slots - 1))
        return max(0, min(limits))

    def sequence(self, request: EngineRequest, *, index: int, seed: int) -> Sequence:
        """Completion `index` of a checked request."""
        params = request.params
        num_prompt_tokens = len(request.prompt_token_ids)
        return Sequence(
            request_id=request.request_id,
            index=index,
            params=params,
            seed=seed,
            num_thought_tokens=self._thought_length(params),
            token_ids=list(request.prompt_token_ids),
            num_prompt_tokens=num_prompt_tokens,
            max_tokens=self._max_tokens(params, num_prompt_tokens),
            eos_token_ids=frozenset() if params.ignore_eos else self._eos_token_ids,
            scores_prompt=params.prompt_logprobs is not None and index == 0,
        )

    def _thought_length(self, params: SamplingParams) -> int:
        if params.num_thought_tokens is None:
            return self._model.num_thought_tokens
        return params.num_thought_tokens

    def _max_tokens(self, params: SamplingParams, num_prompt_tokens: int) -> int:
        if params.max_tokens is None:
            return self.context_limit(self._thought_length(params)) - num_prompt_tokens
        return params.max_tokens

    def _check_prompt(self, token_ids: list[int]) -> None:
        if not token_ids:
            raise RequestError(
                "the prompt has no tokens; give at least one (this tokenizer adds none by itself)",
                param="prompt",
            )
        vocab_size = self._model.vocab_size
        for token_id in token_ids:
            if not 0 <= token_id < vocab_size:
                raise RequestError(
                    f"token id {shown(token_id)} is out of vocabulary; ids are 0..{vocab_size - 1}",
                    param="prompt",
                )
        for delimiter in self._delimiter_ids:
            if delimiter in token_ids:
                raise RequestError(
                    f"the prompt contains the thought delimiter {delimiter}; only the model "
                    "begins and ends thoughts. Remove it",
                    param="prompt",
                )

    def _check_token_ids(self, params: SamplingParams) -> None:
        vocab_size = self._model.vocab_size
        for name, token_ids in (
            ("logit_bias", params.logit_bias or ()),
            ("stop_token_ids", params.stop_token_ids),
        ):
            for token_id in token_ids:
                if token_id >= vocab_size:
                    raise RequestError(
                        f"{name} names token id {token_id}; ids are 0..{vocab_size - 1}", param=name
                    )

    def _check_thinking(self, params: SamplingParams) -> None:
        length = params.num_thought_tokens
        most = self._model.max_thought_tokens
        if length is not None and length > most:
            why = "this model cannot think" if most == 0 else f"the most is {most}"
            raise RequestError(
                f"num_thought_tokens is {length}, but {why}", param="num_thought_tokens"
            )

    def _check_length(self, request: EngineRequest) -> None:
        limit = self.context_limit(self._thought_length(request.params))
        num_prompt_tokens = len(request.prompt_token_ids)
        asked = request.params.max_tokens
        # Without a limit of its own, an output needs room for at least one token.
        num_output_tokens = 1 if asked is None else asked
        total = num_prompt_tokens + num_output_tokens
        if total > limit:
            raise ContextLengthError(
                f"This model's maximum context length is {limit} tokens. However, you requested "
                f"{total} tokens ({num_prompt_tokens} in the prompt, {num_output_tokens} in the "
                "completion). Please reduce your prompt or the completion length.",
                param="prompt" if num_prompt_tokens >= limit else "max_tokens",
            )

    def _check_sequences(self, params: SamplingParams) -> None:
        limit = self._config.max_num_seqs + self._config.max_queue
        if params.n > limit:
            raise RequestError(
                f"n is {params.n}; this server holds {limit} sequences at most", param="n"
            )

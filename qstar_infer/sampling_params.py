"""What one request asks of the sampler. Plain data, validated on construction."""

from collections.abc import Mapping
from dataclasses import dataclass

from qstar_infer.errors import RequestError

MAX_SEED = 2**63 - 1
MAX_LOGPROBS = 20
MAX_STOP_STRINGS = 32
MAX_STOP_CHARS = 4096
MAX_NUM_SEQUENCES = 128
MIN_TEMPERATURE = 1e-6
"""A lower temperature is 0: dividing logits by it could overflow float32."""
MAX_INTEGER = 2**31 - 1
"""Of integers without a closer limit: above any vocabulary or context, and short in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Sampling settings of one request.

    Penalties, biases and filters shape the visible token only, never a thought. They are applied
    in this order: delimiters masked, `logit_bias`, `min_tokens`, repetition, presence and frequency
    penalties, temperature, `top_k`, `top_p`, `min_p`. Reported log-probabilities are those of the
    model's own distribution, before all of these.

    Raises:
        RequestError: a field is out of range; `param` names it.
    """

    n: int = 1
    """How many completions of the prompt, 1..128. Each has its own seed derived from `seed`."""
    temperature: float = 1.0
    """0 is greedy, and so is anything below 1e-6; at most 2."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 or -1 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of most likely tokens whose probability reaches this; in (0, 1]."""
    min_p: float = 0.0
    """Keep tokens at least this share as likely as the most likely one; in [0, 1]."""
    repetition_penalty: float = 1.0
    """Divides (multiplies, if negative) logits of tokens in prompt or output; > 0, at most 10."""
    presence_penalty: float = 0.0
    """Subtracted from logits of tokens already in the output; in [-2, 2]."""
    frequency_penalty: float = 0.0
    """Subtracted once per occurrence in the output; in [-2, 2]."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these token ids; each in [-100, 100]. Cannot unmask a delimiter."""
    stop: tuple[str, ...] = ()
    """Texts that end the output; the output does not contain them. A lone string is accepted."""
    stop_token_ids: tuple[int, ...] = ()
    """Token ids that end the output, beside the model's own end-of-sequence ids."""
    include_stop_str_in_output: bool = False
    """Keep the matched stop text at the end of the output."""
    skip_special_tokens: bool = True
    """Leave special tokens out of the text."""
    min_tokens: int = 0
    """Neither end-of-sequence, nor a stop token id, nor a stop string ends a shorter output."""
    max_tokens: int | None = 16
    """Most visible tokens to produce; None fills the context. 0 produces none."""
    ignore_eos: bool = False
    """Go on past end-of-sequence tokens."""
    seed: int | None = None
    """Makes the result repeatable; None draws one at random."""
    logprobs: int | None = None
    """Report this many most likely tokens beside the chosen one, 0..20; None reports none."""
    prompt_logprobs: int | None = None
    """The same for every prompt token (each costs a thought); None reports none."""
    num_thought_tokens: int | None = None
    """Sampled tokens per thought, delimiters excluded. None: as trained. 0: do not think."""
    thought_temperature: float | None = None
    """As `temperature`. None: 0 when `temperature` is 0, else 1."""
    think_threshold: float | None = None
    """Skip the thought where the base distribution's top probability is at least this.

    Faster and approximate: such a token is the plain model's. None always thinks.
    """

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        object.__setattr__(self, "stop", tuple(self.stop or ()))
        object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids or ()))
        self._check_sampling()
        self._check_stopping()
        self._check_thinking()

    def _check_sampling(self) -> None:
        _check_int("n", self.n, 1, MAX_NUM_SEQUENCES)
        _check_float("temperature", self.temperature, 0.0, 2.0)
        _check_int("top_k", self.top_k, -1, MAX_INTEGER)
        _check_float("top_p", self.top_p, 0.0, 1.0, low_is_open=True)
        _check_float("min_p", self.min_p, 0.0, 1.0)
        _check_float("repetition_penalty", self.repetition_penalty, 0.0, 10.0, low_is_open=True)
        _check_float("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_float("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        for token_id, bias in (self.logit_bias or {}).items():
            _check_int("logit_bias", token_id, 0, MAX_INTEGER)
            _check_float("logit_bias", bias, -100.0, 100.0)
        if self.seed is not None:
            _check_int("seed", self.seed, -MAX_SEED - 1, MAX_SEED)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                _check_int(name, getattr(self, name), 0, MAX_LOGPROBS)

    def _check_stopping(self) -> None:
        if self.max_tokens is not None:
            _check_int("max_tokens", self.max_tokens, 0, MAX_INTEGER)
        most = MAX_INTEGER if self.max_tokens is None else self.max_tokens
        _check_int("min_tokens", self.min_tokens, 0, most)
        for token_id in self.stop_token_ids:
            _check_int("stop_token_ids", token_id, 0, MAX_INTEGER)
        if len(self.stop) > MAX_STOP_STRINGS:
            raise RequestError(
                f"stop has {len(self.stop)} strings; the most is {MAX_STOP_STRINGS}", param="stop"
            )
        for text in self.stop:
            if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_CHARS:
                raise RequestError(
                    f"each stop must be a string of 1 to {MAX_STOP_CHARS} characters",
                    param="stop",
                )

    def _check_thinking(self) -> None:
        if self.num_thought_tokens is not None:
            _check_int("num_thought_tokens", self.num_thought_tokens, 0, MAX_INTEGER)
        if self.thought_temperature is not None:
            _check_float("thought_temperature", self.thought_temperature, 0.0, 2.0)
        if self.think_threshold is not None:
            _check_float("think_threshold", self.think_threshold, 0.0, 1.0)

    @property
    def resolved_thought_temperature(self) -> float:
        """`thought_temperature`, or its default: greedy text has greedy thoughts."""
        if self.thought_temperature is not None:
            return self.thought_temperature
        return 0.0 if self.temperature < MIN_TEMPERATURE else 1.0


def _check_int(name: str, value: object, low: int, high: int) -> None:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or not low <= value <= high:  # type: ignore[operator]
        raise RequestError(
            f"{name} must be an integer in {low}..{high}, got {shown(value)}", param=name
        )


def _check_float(
    name: str, value: object, low: float, high: float, *, low_is_open: bool = False
) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_inside = is_number and low <= value <= high  # type: ignore[operator]  # false for NaN
    if is_inside and not (low_is_open and value == low):
        return
    bracket = "(" if low_is_open else "["
    raise RequestError(
        f"{name} must be a number in {bracket}{low:g}, {high:g}], got {shown(value)}", param=name
    )


def shown(value: object) -> str:
    """At most 40 characters of a rejected value: enough to recognise it, never an echo."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"  # Python writes no more than 4300 digits
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

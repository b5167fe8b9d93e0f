"""Sampling parameters of one request. Plain data, validated on construction."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from qstar_infer.errors import RequestError, shown
from qstar_infer.structured_outputs import StructuredOutputs, read_structured_outputs
from qstar_infer.thinking_rule import ThinkingRule, read_rule

MAX_SEED = 2**63 - 1
MAX_LOGPROBS = 100
MAX_STOP_STRINGS = 32
MAX_STOP_CHARS = 4096
MAX_BAD_WORDS = 1024
MAX_BAD_WORD_CHARS = 256
MAX_NUM_SEQUENCES = 128
MIN_TEMPERATURE = 1e-6
"""A lower temperature counts as 0: dividing logits by it could overflow float32."""
MAX_INTEGER = 2**31 - 1
"""Limit of integers that have no smaller one; above any vocabulary or context size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Sampling settings of one request.

    Penalties, biases and filters shape the visible token only, never a thought. They are applied
    in this order: delimiters masked, `logit_bias`, then what may not come (`allowed_token_ids`,
    `bad_words`, `structured_outputs`, `min_tokens`), repetition, presence and frequency penalties,
    temperature, `top_k`, `top_p`, `min_p`. Reported log-probabilities are those of the model's own
    distribution, before all of these.

    Accepts any kind of number, such as NumPy scalars, and converts it to int or float.

    Raises:
        RequestError: a field is out of range or of a wrong type; `param` names it.
    """

    n: int = 1
    """Number of completions of the prompt, 1..128. Each has its own seed, derived from `seed`."""
    best_of: int | None = None
    """Generate this many completions and return the `n` best by a `Ranker`; from `n` to 128. None:
    same as `n`."""
    temperature: float = 1.0
    """In [0, 2]; 0 is greedy. Anything below 1e-6 is stored as 0."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 or -1 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of most likely tokens whose probability reaches this; in (0, 1]."""
    min_p: float = 0.0
    """Keep tokens at least this many times as likely as the most likely one; in [0, 1]."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens in prompt or output; in (0, 10]."""
    presence_penalty: float = 0.0
    """Subtracted from logits of tokens already in the output; in [-2, 2]."""
    frequency_penalty: float = 0.0
    """Subtracted once per occurrence in the output; in [-2, 2]."""
    logit_bias: Mapping[int, float] | None = None
    """Added to the logits of these token ids; each in [-100, 100]. Cannot unmask a delimiter."""
    allowed_token_ids: tuple[int, ...] | None = None
    """Only these tokens may come, delimiters never. None: all of them."""
    bad_words: tuple[str, ...] = ()
    """Texts that must not come, as in vLLM: of each, and of each behind a space, the last token is
    banned where the output ends with the tokens before it. Up to 1,024, of 256 characters each."""
    structured_outputs: StructuredOutputs | Mapping[str, Any] | None = None
    """The form of the text, such as `{"json": {...}}`, which is stored as `StructuredOutputs`."""
    stop: tuple[str, ...] = ()
    """Strings that end the output and are not part of it. A single string is accepted too."""
    stop_token_ids: tuple[int, ...] = ()
    """Token ids that end the output, in addition to the model's end-of-sequence ids."""
    include_stop_str_in_output: bool = False
    """Keep the matched stop text at the end of the output."""
    skip_special_tokens: bool = True
    """Leave special tokens out of the text."""
    min_tokens: int = 0
    """Ignore end-of-sequence and stop conditions until this many tokens are generated."""
    max_tokens: int | None = 16
    """Most visible tokens to produce; None fills the context. 0 produces none."""
    max_completion_tokens: int | None = None
    """Most visible and thought tokens together, of each completion; None: no limit. A token whose
    thought would exceed it is not produced. 0 produces none."""
    ignore_eos: bool = False
    """Continue after an end-of-sequence token."""
    seed: int | None = None
    """The same seed gives the same result; None: use a random seed."""
    logprobs: int | None = None
    """Report the chosen token and this many most likely ones, 0..100. None: report nothing."""
    prompt_logprobs: int | None = None
    """The same for each prompt token, with a thought before each. None: report nothing."""
    thought_top_logprobs: int | None = None
    """Report in each `Thought` this many most likely tokens, with the thought and without; 0..100.
    None: report nothing."""
    show_passes: bool = False
    """Report in each `Thought` the passes that found its token."""
    num_thought_tokens: int | None = None
    """Sampled tokens per thought, without the delimiters. None: as trained. 0: do not think."""
    thought_temperature: float | None = None
    """Temperature of thought tokens. None: 0 if `temperature` is 0, else the checkpoint's
    `thought_temperature`, else 1."""
    thinking: ThinkingRule | Mapping[str, Any] | None = None
    """At which tokens to think; a mapping such as `{"where": "gate"}` is stored as a rule. None: as
    the checkpoint says."""
    think_threshold: float | None = None
    """Skip the thought if the top probability of the base distribution is at least this.

    Faster but approximate: such a token comes from the base distribution. None: never skip.
    """

    def __post_init__(self) -> None:
        self._check_sampling()
        self._check_stopping()
        self._check_thinking()

    def _check_sampling(self) -> None:
        self._check_int("n", 1, MAX_NUM_SEQUENCES)
        self._check_best_of()
        self._check_temperature("temperature")
        self._check_int("top_k", -1, MAX_INTEGER)
        self._check_float("top_p", 0.0, 1.0, low_is_open=True)
        self._check_float("min_p", 0.0, 1.0)
        self._check_float("repetition_penalty", 0.0, 10.0, low_is_open=True)
        self._check_float("presence_penalty", -2.0, 2.0)
        self._check_float("frequency_penalty", -2.0, 2.0)
        self._set("logit_bias", _checked_biases(self.logit_bias))
        self._check_what_may_come()
        if self.seed is not None:
            self._check_int("seed", -MAX_SEED - 1, MAX_SEED)
        for name in ("logprobs", "prompt_logprobs", "thought_top_logprobs"):
            if getattr(self, name) is not None:
                self._check_int(name, 0, MAX_LOGPROBS)

    def _check_what_may_come(self) -> None:
        if self.allowed_token_ids is not None:
            self._set("allowed_token_ids", _checked_ids("allowed_token_ids", self))
            if not self.allowed_token_ids:
                raise RequestError(
                    "allowed_token_ids is empty, so that no token may come; leave it out",
                    param="allowed_token_ids",
                )
        self._set("bad_words", _checked_bad_words(self.bad_words))
        if self.structured_outputs is not None:
            self._set("structured_outputs", read_structured_outputs(self.structured_outputs))

    def _check_stopping(self) -> None:
        most = MAX_INTEGER
        for name in ("max_tokens", "max_completion_tokens"):
            if getattr(self, name) is not None:
                self._check_int(name, 0, MAX_INTEGER)
                most = min(most, getattr(self, name))
        self._check_int("min_tokens", 0, most)
        self._set("stop_token_ids", _checked_ids("stop_token_ids", self))
        self._set("stop", _checked_stop(self.stop))

    def _check_thinking(self) -> None:
        if self.num_thought_tokens is not None:
            self._check_int("num_thought_tokens", 0, MAX_INTEGER)
        if self.thought_temperature is not None:
            self._check_temperature("thought_temperature")
        if self.thinking is not None:
            self._set("thinking", _checked_rule(self.thinking))
        if self.think_threshold is not None:
            self._check_float("think_threshold", 0.0, 1.0)

    def _check_best_of(self) -> None:
        if self.best_of is None:
            return
        self._check_int("best_of", 1, MAX_NUM_SEQUENCES)
        if self.best_of < self.n:
            raise RequestError(
                f"best_of is {self.best_of}, less than n ({self.n}); it must be at least n",
                param="best_of",
            )

    def _check_temperature(self, name: str) -> None:
        value = checked_float(name, getattr(self, name), 0.0, 2.0)
        self._set(name, normalised_temperature(value))

    def _check_int(self, name: str, low: int, high: int) -> None:
        self._set(name, checked_int(name, getattr(self, name), low, high))

    def _check_float(
        self, name: str, low: float, high: float, *, low_is_open: bool = False
    ) -> None:
        value = getattr(self, name)
        self._set(name, checked_float(name, value, low, high, low_is_open=low_is_open))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    @property
    def num_candidates(self) -> int:
        """Number of completions to generate: `best_of`, or `n` if it is None."""
        return self.n if self.best_of is None else self.best_of


def normalised_temperature(value: float) -> float:
    """The value, or 0 if it is below `MIN_TEMPERATURE`. No other code decides this."""
    return value if value >= MIN_TEMPERATURE else 0.0


def checked_int(name: str, value: object, low: int, high: int) -> int:
    """The value as an `int`.

    Raises:
        RequestError: the value is not an integer in `low..high`.
    """
    # In Python a bool is an integer, but here it is a mistake.
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    if is_int and low <= value <= high:  # type: ignore[operator]
        return int(value)  # type: ignore[call-overload,no-any-return]
    raise RequestError(
        f"{name} must be an integer in {low}..{high}, got {shown(value)}", param=name
    )


def checked_float(
    name: str, value: object, low: float, high: float, *, low_is_open: bool = False
) -> float:
    """The value as a `float`.

    Raises:
        RequestError: it is not a number in `[low, high]`, or in `(low, high]` if `low_is_open`.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and low <= value <= high:  # type: ignore[operator]  # false for NaN
        number = float(value)  # type: ignore[arg-type]
        if number > low or not low_is_open:
            return number
    bracket = "(" if low_is_open else "["
    raise RequestError(
        f"{name} must be a number in {bracket}{low:g}, {high:g}], got {shown(value)}", param=name
    )


def _checked_biases(biases: object) -> dict[int, float] | None:
    if biases is None:
        return None
    if not isinstance(biases, Mapping):
        raise RequestError(
            f"logit_bias must map token ids to numbers, got {shown(biases)}", param="logit_bias"
        )
    return {
        checked_int("logit_bias", token_id, 0, MAX_INTEGER): checked_float(
            "logit_bias", bias, -100.0, 100.0
        )
        for token_id, bias in biases.items()
    }


def _checked_ids(name: str, params: SamplingParams) -> tuple[int, ...]:
    token_ids = _as_tuple(name, getattr(params, name))
    return tuple(checked_int(name, each, 0, MAX_INTEGER) for each in token_ids)


def _checked_bad_words(words: object) -> tuple[str, ...]:
    texts = _as_tuple("bad_words", words)
    if isinstance(words, str) or len(texts) > MAX_BAD_WORDS:
        raise RequestError(
            f"bad_words must be a list of at most {MAX_BAD_WORDS} strings", param="bad_words"
        )
    for text in texts:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_BAD_WORD_CHARS:
            raise RequestError(
                f"each of bad_words must be a string of 1 to {MAX_BAD_WORD_CHARS} characters",
                param="bad_words",
            )
    return texts


def _checked_stop(stop: object) -> tuple[str, ...]:
    texts = (stop,) if isinstance(stop, str) else _as_tuple("stop", stop)
    if len(texts) > MAX_STOP_STRINGS:
        raise RequestError(
            f"stop has {len(texts)} strings; the maximum is {MAX_STOP_STRINGS}", param="stop"
        )
    for text in texts:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_CHARS:
            raise RequestError(
                f"each stop must be a string of 1 to {MAX_STOP_CHARS} characters", param="stop"
            )
    return texts


def _checked_rule(rule: object) -> ThinkingRule:
    try:
        return read_rule(rule)
    except ValueError as error:
        raise RequestError(f"thinking is no rule: {error}", param="thinking") from None


def _as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    if values is None:
        return ()
    try:
        return tuple(values)
    except TypeError:
        raise RequestError(f"{name} must be a list, got {shown(values)}", param=name) from None

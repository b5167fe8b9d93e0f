"""Request fields that every generating endpoint shares, and their way into `SamplingParams`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qstar_infer.errors import RequestError, shown
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import MAX_LOGPROBS, SamplingParams, checked_int
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.thinking_rule import ThinkingRule, Where
from qstar_server.generation.field_types import (
    Bias,
    Count,
    Never,
    NumSequences,
    Penalty,
    Probability,
    RepetitionPenalty,
    Seed,
    StopText,
    StopTexts,
    Temperature,
    TokenIds,
    TopK,
)
from qstar_server.generation.response_format import ResponseFormat, StructuredOutputsField
from qstar_server.settings.config import ServerConfig

MAX_ITEMS = 4096
"""Most entries of a list or map in a request, except token ids."""
MAX_REQUEST_ID_CHARS = 128

_T = TypeVar("_T")
_TOKEN_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_REQUEST_ID = rf"^[!-~]{{1,{MAX_REQUEST_ID_CHARS}}}$"


def _check_size(value: object) -> object:
    # Before pydantic checks the items: each wrong one costs an error, and there may be a million.
    if isinstance(value, list | dict) and len(value) > MAX_ITEMS:
        raise ValueError(f"has {len(value)} entries; the most is {MAX_ITEMS}")
    return value


_IsBounded = BeforeValidator(_check_size)


class StreamOptions(BaseModel):
    """What a stream contains in addition to the output."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None
    """Adds a last chunk that has no choices and holds the usage."""
    continuous_usage_stats: bool | None = None
    """Adds the usage so far to every chunk (vLLM)."""
    include_obfuscation: Never | None = None
    """Chunks are never padded to hide their lengths."""


class TemplateSwitches(BaseModel):
    """The one `chat_template_kwargs` key that has an effect here; others are an error."""

    model_config = ConfigDict(strict=True, extra="forbid")

    enable_thinking: bool | None = None


class Thinking(BaseModel):
    """At which tokens the model thinks, as in `quiet_star.json`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    where: Where
    """everywhere; behind: at `tokens`; gate: where the checkpoint's gate says so."""
    tokens: Annotated[list[str | int] | None, _IsBounded] = None
    """Names or ids of the vocabulary; only for `behind`."""


class SharedSamplingFields(TypedDict):
    """Fields of `SamplingParams` that mean the same at every endpoint. None: not given."""

    n: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    allowed_token_ids: tuple[int, ...] | None
    bad_words: tuple[str, ...] | None
    stop: tuple[str, ...] | None
    stop_token_ids: tuple[int, ...] | None
    include_stop_str_in_output: bool | None
    skip_special_tokens: bool | None
    min_tokens: int | None
    ignore_eos: bool | None
    seed: int | None
    thought_top_logprobs: int | None
    show_passes: bool | None
    num_thought_tokens: int | None
    thought_temperature: float | None
    thinking: ThinkingRule | Mapping[str, Any] | None
    think_threshold: float | None


class GenerationRequest(BaseModel):
    """Fields that generating endpoints share. Null means the default.

    Only single fields are checked here; `SamplingParams` checks how they fit together.
    """

    model_config = ConfigDict(
        strict=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True
    )

    model: str
    n: NumSequences | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias] | None, _IsBounded] = None
    seed: Seed | None = None
    stop: Annotated[StopText | StopTexts | None, _IsBounded] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    response_format: ResponseFormat | None = None

    structured_outputs: StructuredOutputsField | None = None
    """The form of the text (vLLM); only without `response_format`."""
    allowed_token_ids: TokenIds | None = None
    """Only these tokens may come."""
    bad_words: Annotated[list[str] | None, _IsBounded] = None
    """Texts that must not come."""
    top_k: TopK | None = None
    min_p: Probability | None = None
    repetition_penalty: RepetitionPenalty | None = None
    stop_token_ids: Annotated[TokenIds | None, _IsBounded] = None
    ignore_eos: bool | None = None
    min_tokens: Count | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    """Log-probabilities name each token `token_id:123` instead of by its text."""
    truncate_prompt_tokens: int | None = None
    """Keep the last tokens of a longer prompt, so many; -1: as many as leave room for the output.
    Null refuses a prompt that is too long."""
    request_id: Annotated[str | None, Field(pattern=_REQUEST_ID)] = None
    """Becomes part of the response's id: visible ASCII characters."""
    priority: int | None = None
    """A request with a lower number is served sooner; 0 if null. It never changes the output."""
    cache_salt: str | None = None
    """Prefixes are shared only among requests with the same salt."""

    show_thoughts: bool | None = None
    thought_top_logprobs: Annotated[int | None, Field(ge=0, le=MAX_LOGPROBS)] = None
    """Adds this many most likely tokens, with the thought and without, to each entry of `thoughts`;
    only with `show_thoughts`. Up to 20 unless the operator says otherwise."""
    show_passes: bool | None = None
    """Adds the passes that found the token to each entry of `thoughts`; only with
    `show_thoughts`."""
    num_thought_tokens: Count | None = None
    thought_temperature: Temperature | None = None
    thinking: Annotated[Thinking | None, _IsBounded] = None
    think_threshold: Probability | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    chat_template_kwargs: Annotated[TemplateSwitches | None, _IsBounded] = None

    def build_sampling_params(
        self,
        defaults: SamplingDefaults,
        *,
        max_tokens: int | None,
        best_of: int | None,
        logprobs: int | None,
        prompt_logprobs: int | None,
        max_completion_tokens: int | None = None,
        structured_outputs: StructuredOutputs | None = None,
    ) -> SamplingParams:
        """The shared fields, with those that an endpoint defines in its own way.

        A shared field that is null takes the checkpoint's default, then that of `SamplingParams`.

        Args:
            max_tokens: None fills the context.
            best_of, logprobs, prompt_logprobs, max_completion_tokens: None as in
                `SamplingParams`.
            structured_outputs: what the endpoint itself asks for; None: what the shared fields do.

        Raises:
            RequestError: a value is out of range or contradicts another; `param` names the field.
        """
        fields = self._shared_sampling_fields()
        given = {name: value for name, value in fields.items() if value is not None}
        asked = self.asked_form()
        if asked is not None and structured_outputs is not None:
            raise RequestError(
                f"{asked.param} and {structured_outputs.param} both say what form the text must "
                "have; leave out one of them",
                param=asked.param,
            )
        return defaults.params(
            max_tokens=max_tokens,
            best_of=best_of,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            max_completion_tokens=max_completion_tokens,
            structured_outputs=asked if structured_outputs is None else structured_outputs,
            **given,
        )

    def truncated(
        self, token_ids: list[int], *, max_model_len: int, max_tokens: int | None
    ) -> list[int]:
        """The last tokens of a prompt, as many as `truncate_prompt_tokens` says.

        Args:
            max_tokens: what the output may need of the context; None: at least one token.

        Raises:
            RequestError: the number is neither -1 nor from 1 to the context's size.
        """
        count = self.truncate_prompt_tokens
        if count is None:
            return token_ids
        name = "truncate_prompt_tokens"
        if count == -1:
            count = max(1, max_model_len - (1 if max_tokens is None else max_tokens))
        return token_ids[-checked_int(name, count, 1, max_model_len) :]

    def asked_form(self) -> StructuredOutputs | None:
        """The form that `response_format` or `structured_outputs` asks for; None if neither does.

        Takes time with its size: call it off the event loop.

        Raises:
            RequestError: both ask for one, or it is malformed.
        """
        fields = (self.response_format, self.structured_outputs)
        asked = [form for each in fields if each and (form := each.structured_outputs())]
        if len(asked) > 1:
            raise RequestError(
                "response_format and structured_outputs both say what form the text must have; "
                "leave out one of them",
                param="structured_outputs",
            )
        return asked[0] if asked else None

    def _shared_sampling_fields(self) -> SharedSamplingFields:
        # The smallest set of tokens whose probability reaches 0 is the most likely token alone.
        takes_top_token = self.top_p == 0
        return SharedSamplingFields(
            n=self.n,
            temperature=self.temperature,
            top_k=1 if takes_top_token else self.top_k,
            top_p=1.0 if takes_top_token else self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=_token_biases(self.logit_bias),
            allowed_token_ids=_tuple_or_none(self.allowed_token_ids),
            bad_words=_tuple_or_none(self.bad_words),
            stop=_stop_strings(self.stop),
            stop_token_ids=_tuple_or_none(self.stop_token_ids),
            include_stop_str_in_output=self.include_stop_str_in_output,
            skip_special_tokens=self.skip_special_tokens,
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            seed=self.seed,
            thought_top_logprobs=self.thought_top_logprobs,
            show_passes=self.show_passes,
            num_thought_tokens=_thought_length(self),
            thought_temperature=self.thought_temperature,
            thinking=None if self.thinking is None else self.thinking.model_dump(exclude_none=True),
            think_threshold=self.think_threshold,
        )


def check_stream_options(request: GenerationRequest) -> None:
    """
    Raises:
        RequestError: `stream_options` is set, but `stream` is not true.
    """
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options can only be set when stream is true", param="stream_options"
        )


def check_logprobs(count: int | None, config: ServerConfig, *, default: int, param: str) -> None:
    """Check how many likely tokens a request wants to see.

    Args:
        default: the most if the operator sets no `max_logprobs`.

    Raises:
        RequestError: it is not in the range from 0 to the most; `param` names the field.
    """
    if count is not None:
        checked_int(param, count, 0, most_logprobs(config, default=default))


def most_logprobs(config: ServerConfig, *, default: int) -> int:
    """How many likely tokens a request may see.

    Args:
        default: the most if the operator sets no `max_logprobs`.
    """
    return min(default if config.max_logprobs is None else config.max_logprobs, MAX_LOGPROBS)


def _thought_length(request: GenerationRequest) -> int | None:
    """`num_thought_tokens`, or 0 where one of its two aliases turns thinking off.

    Returns:
        None for the length the model was trained with.

    Raises:
        RequestError: one field asks for thoughts and another turns thinking off.
    """
    switches = request.chat_template_kwargs
    is_off_by_template = switches is not None and switches.enable_thinking is False
    if request.reasoning_effort != "none" and not is_off_by_template:
        return request.num_thought_tokens
    if request.num_thought_tokens is not None and request.num_thought_tokens != 0:
        other = "chat_template_kwargs.enable_thinking" if is_off_by_template else "reasoning_effort"
        length = shown(request.num_thought_tokens)
        raise RequestError(
            f"num_thought_tokens is {length}, but {other} turns thinking off; leave out one of "
            "them",
            param="num_thought_tokens",
        )
    return 0


def _tuple_or_none(values: list[_T] | None) -> tuple[_T, ...] | None:
    return None if values is None else tuple(values)


def _stop_strings(stop: str | list[str] | None) -> tuple[str, ...] | None:
    if stop is None:
        return None
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _token_biases(biases: dict[str, float] | None) -> dict[int, float] | None:
    if biases is None:
        return None
    for key in biases:
        if not _TOKEN_ID.fullmatch(key):
            raise RequestError("logit_bias keys must be token ids in decimal", param="logit_bias")
    return {int(key): bias for key, bias in biases.items()}

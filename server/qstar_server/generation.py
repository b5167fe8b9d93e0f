"""Request fields that every generating endpoint shares, and their way into SamplingParams."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import shown
from qstar_server.errors import ApiError
from qstar_server.settings import Settings

MAX_ITEMS = 4096
"""Most entries of a list or map in a request, the prompt aside."""


def _check_size(value: object) -> object:
    # Before the items are looked at: each bad one costs an error, and a body holds a million.
    if isinstance(value, list | dict) and len(value) > MAX_ITEMS:
        raise ValueError(f"has {len(value)} entries; the most is {MAX_ITEMS}")
    return value


_IsBounded = BeforeValidator(_check_size)


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None
    """A last chunk without choices that holds the usage."""
    continuous_usage_stats: bool | None = None
    """The usage so far in every chunk (vLLM)."""


class TemplateSwitches(BaseModel):
    """The one `chat_template_kwargs` key that means something here; others are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")

    enable_thinking: bool | None = None


class GenerationRequest(BaseModel):
    """Fields shared by completions and chat. Null means the default.

    Only types are checked here. Ranges are those of `SamplingParams`, in one place.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Annotated[dict[str, float] | None, _IsBounded] = None
    seed: int | None = None
    stop: Annotated[str | list[str] | None, _IsBounded] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None

    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: Annotated[list[int] | None, _IsBounded] = None
    ignore_eos: bool | None = None
    min_tokens: int | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    return_token_ids: bool | None = None

    show_thoughts: bool | None = None
    num_thought_tokens: int | None = None
    thought_temperature: float | None = None
    think_threshold: float | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    chat_template_kwargs: Annotated[TemplateSwitches | None, _IsBounded] = None


_SAME_NAME = (
    "n",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "top_k",
    "min_p",
    "repetition_penalty",
    "stop_token_ids",
    "ignore_eos",
    "min_tokens",
    "skip_special_tokens",
    "include_stop_str_in_output",
    "thought_temperature",
    "think_threshold",
)
_TOKEN_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


def sampling_fields(request: GenerationRequest) -> dict[str, Any]:
    """The shared fields that the client set, under their `SamplingParams` names.

    Raises:
        RequestError: a `logit_bias` key is not a token id.
    """
    fields = {name: value for name in _SAME_NAME if (value := getattr(request, name)) is not None}
    if request.stop is not None:
        fields["stop"] = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop)
    if request.logit_bias is not None:
        fields["logit_bias"] = _token_biases(request.logit_bias)
    if fields.get("top_p") == 0:
        # The smallest set of tokens whose probability reaches 0 is the top token alone.
        fields |= {"top_p": 1.0, "top_k": 1}
    return fields


def check_stream_options(request: GenerationRequest) -> None:
    """Refuse `stream_options` outside a stream.

    Raises:
        RequestError: as said.
    """
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options can only be set when stream is true", param="stream_options"
        )


def refuse_forbidden_thoughts(request: GenerationRequest, settings: Settings) -> None:
    """Refuse to show thoughts where the operator forbids it.

    Raises:
        ApiError: 403.
    """
    if request.show_thoughts and not settings.allow_thoughts:
        raise ApiError(
            403,
            "This server does not show thoughts; leave out show_thoughts.",
            type="permission_error",
            param="show_thoughts",
            code="thoughts_forbidden",
        )


def requested_thought_length(request: GenerationRequest) -> int | None:
    """Thought length from the request's own field and its two aliases for "do not think".

    Returns:
        None for the length the model was trained with.

    Raises:
        RequestError: one field asks for thoughts and another for none.
    """
    switches = request.chat_template_kwargs
    is_off_by_template = switches is not None and switches.enable_thinking is False
    if request.reasoning_effort != "none" and not is_off_by_template:
        return request.num_thought_tokens
    if request.num_thought_tokens is not None and request.num_thought_tokens != 0:
        other = "chat_template_kwargs.enable_thinking" if is_off_by_template else "reasoning_effort"
        length = shown(request.num_thought_tokens)
        raise RequestError(
            f"num_thought_tokens is {length}, but {other} turns thinking off",
            param="num_thought_tokens",
        )
    return 0


def _token_biases(biases: dict[str, float]) -> dict[int, float]:
    for key in biases:
        if not _TOKEN_ID.fullmatch(key):
            raise RequestError("logit_bias keys must be token ids in decimal", param="logit_bias")
    return {int(key): bias for key, bias in biases.items()}

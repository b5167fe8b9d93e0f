"""Fields of OpenAI's and vLLM's chat requests that this server does not support."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qstar_infer.errors import RequestError, shown


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str
    harmless: tuple[Any, ...] = ()
    """Values that ask for what the server does anyway, in addition to null."""


_REFUSED = {
    "store": _Refused("this server stores nothing; leave it out", (False,)),
    "service_tier": _Refused('leave it out, or send "auto"', ("auto", "default")),
    "modalities": _Refused('the model writes only text; send ["text"]', (["text"],)),
    "audio": _Refused("the model writes only text; leave it out"),
    "prediction": _Refused("leave it out; it would not change the answer"),
    "web_search_options": _Refused("this server connects to nothing; leave it out"),
    "verbosity": _Refused("ask for a short or long answer in a message", ("medium",)),
    "functions": _Refused("send the functions as tools", ([],)),
    "function_call": _Refused("use tools and tool_choice", ("none", "auto")),
    "echo": _Refused("the answer is only what the model adds; leave it out", (False,)),
    "documents": _Refused("put documents into a message", ([],)),
    "chat_template": _Refused("only the model's own template is used; leave it out"),
    "best_of": _Refused("use n, or best_of in /v1/completions", (1,)),
    "prompt_logprobs": _Refused("use /v1/completions for them"),
}


def check_chat_fields(extra_fields: Mapping[str, Any]) -> None:
    """
    Raises:
        RequestError: a field asks for something that chat does not have; `param` names it.
    """
    for name, value in extra_fields.items():
        refused = _REFUSED.get(name)
        if refused is not None and value is not None and not _is_among(refused.harmless, value):
            raise RequestError(
                f"{name} {shown(value)} is not supported: {refused.reason}", param=name
            )


def without_known_fields(extra_fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `check_chat_fields` does not know."""
    return {name: value for name, value in extra_fields.items() if name not in _REFUSED}


def _is_among(values: tuple[Any, ...], value: Any) -> bool:
    # 0 == False and 1 == True in Python, but not in JSON.
    return any(type(value) is type(each) and value == each for each in values)

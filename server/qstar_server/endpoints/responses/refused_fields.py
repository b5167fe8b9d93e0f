"""Fields of OpenAI's responses endpoint that need what this server does not have, such as a store.

Each is refused by name, because ignoring it would give another result than the client expects.
"""

from collections.abc import Mapping
from typing import Any

from qstar_infer.errors import RequestError

_NOT_STORED = "this server stores no responses; send the whole conversation in input"
_MOVED = "this endpoint calls it {}"

# Field -> value that changes nothing, in addition to null, and what to do.
_REFUSED: dict[str, tuple[Any, str]] = {
    "store": (False, "this server stores no responses; leave it out or set it to false"),
    "previous_response_id": (None, _NOT_STORED),
    "conversation": (None, _NOT_STORED),
    "prompt": (None, "this server stores no prompts; give instructions and input"),
    "background": (False, "use stream, or wait for the whole response"),
    "background_options": (None, "use stream, or wait for the whole response"),
    "context_management": (None, "shorten the input instead"),
    "moderation": (None, "this server does not moderate; leave it out"),
    "prompt_cache_options": (None, "leave it out: common beginnings are always cached"),
    "access_programs": (None, "leave it out"),
    "messages": (None, _MOVED.format("input")),
    "max_tokens": (None, _MOVED.format("max_output_tokens")),
    "max_completion_tokens": (None, _MOVED.format("max_output_tokens")),
    "logprobs": (False, 'use top_logprobs and include: ["message.output_text.logprobs"]'),
    "functions": (None, _MOVED.format("tools")),
    "function_call": (None, _MOVED.format("tool_choice")),
    "best_of": (1, "this endpoint gives one response"),
    "add_generation_prompt": (True, "the input is always answered"),
    "continue_final_message": (False, "the input is always answered"),
    "echo": (False, "this endpoint gives only new text"),
}


def check_refused_fields(extra_fields: Mapping[str, Any]) -> None:
    """
    Raises:
        RequestError: a field is one of those above; `param` names it.
    """
    for name, value in extra_fields.items():
        if name not in _REFUSED or value is None:
            continue
        harmless, advice = _REFUSED[name]
        # 0 == False and 1 == True in Python, but not in JSON.
        if value != harmless or type(value) is not type(harmless):
            raise RequestError(f"{name} is not supported: {advice}", param=name)


def without_refused(extra_fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not in the list above."""
    return {name: value for name, value in extra_fields.items() if name not in _REFUSED}

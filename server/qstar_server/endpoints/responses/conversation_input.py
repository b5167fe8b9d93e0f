"""The items of a request's `input` as a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qstar_infer.errors import RequestError, shown
from qstar_server.conversation.conversation import Message, Role, ToolCall, text_of_content

_PART_TYPES = ("input_text", "output_text")
_ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}


def messages_of(
    input_items: str | Sequence[Mapping[str, Any]], *, instructions: str | None
) -> list[Message]:
    """The conversation: the instructions as a system message, then the input.

    Items of type `reasoning` are left out: the model never reads thoughts again.

    Raises:
        RequestError: an item has another type, or is incomplete; the message says which and why.
    """
    messages: list[Message] = []
    if instructions is not None:
        messages.append(Message(role="system", content=instructions))
    if isinstance(input_items, str):
        return [*messages, Message(role="user", content=input_items)]
    for number, item in enumerate(input_items):
        try:
            _append(messages, item)
        except ValueError as error:
            raise RequestError(f"input[{number}]: {error}", param="input") from None
    return messages


def _append(messages: list[Message], item: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: the item cannot be read; the message says why.
    """
    kind = item.get("type")
    if kind == "reasoning":
        return
    if kind == "function_call":
        _append_call(messages, item)
    elif kind == "function_call_output":
        content = _text(item, "output")
        messages.append(Message(role="tool", content=content, tool_call_id=_id(item, "call_id")))
    elif kind == "message" or (kind is None and "role" in item):
        messages.append(_message(item))
    else:
        raise ValueError(
            f"items of type {shown(kind)} are not supported; give items of type message, "
            "function_call or function_call_output"
        )


def _message(item: Mapping[str, Any]) -> Message:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError(f"role must be one of {', '.join(_ROLES)}, got {shown(role)}")
    return Message(role=_ROLES[role], content=_text(item, "content"))


def _append_call(messages: list[Message], item: Mapping[str, Any]) -> None:
    """A call belongs to the message of the assistant before it; if there is none, it is its own."""
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        raise ValueError(f"arguments must be JSON as a text, got {shown(arguments)}")
    call = ToolCall(id=_id(item, "call_id"), name=_id(item, "name"), arguments=arguments)
    if messages and messages[-1].role == "assistant":
        last = messages.pop()
        messages.append(replace(last, tool_calls=(*last.tool_calls, call)))
    else:
        messages.append(Message(role="assistant", content="", tool_calls=(call,)))


def _text(item: Mapping[str, Any], name: str) -> str:
    try:
        return text_of_content(item.get(name), part_types=_PART_TYPES)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _id(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text that is not empty, got {shown(value)}")
    return value

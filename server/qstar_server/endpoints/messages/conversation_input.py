"""The messages of a request as a conversation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qstar_infer.errors import RequestError, shown
from qstar_server.conversation.conversation import Message, ToolCall, text_of_content

_HIDDEN = ("thinking", "redacted_thinking")
"""Blocks that are left out: the model never reads thoughts again."""
_Blocks = Sequence[Mapping[str, Any]]


def messages_of(
    raw_messages: Sequence[Mapping[str, Any]], *, system: str | _Blocks | None
) -> list[Message]:
    """The conversation, with the system text as its first message.

    Raises:
        RequestError: a message cannot be read; the message says which and why.
    """
    messages: list[Message] = []
    if system is not None:
        try:
            messages.append(Message(role="system", content=text_of_content(system)))
        except ValueError as error:
            raise RequestError(f"system: {error}", param="system") from None
    for number, raw in enumerate(raw_messages):
        try:
            messages += _read(raw)
        except ValueError as error:
            raise RequestError(f"messages[{number}]: {error}", param="messages") from None
    return messages


def _read(raw: Mapping[str, Any]) -> list[Message]:
    """The messages that one message of the request becomes.

    Raises:
        ValueError: it cannot be read; the message says why.
    """
    role, content = raw.get("role"), raw.get("content")
    if isinstance(content, list) and not all(isinstance(block, dict) for block in content):
        raise ValueError("content: each block must be an object with a type")
    if role == "system":
        return [Message(role="system", content=_text(content))]
    if role == "assistant":
        return [_of_assistant(content)]
    if role == "user":
        return _of_user(content)
    raise ValueError(f"role must be user, assistant or system, got {shown(role)}")


def _of_assistant(content: Any) -> Message:
    """A text and the calls behind it."""
    if not isinstance(content, list):
        return Message(role="assistant", content=_text(content))
    calls = tuple(_call(block) for block in content if block.get("type") == "tool_use")
    others = [block for block in content if block.get("type") not in ("tool_use", *_HIDDEN)]
    text = _text(others) if others or not content else ""
    return Message(role="assistant", content=text, tool_calls=calls)


def _of_user(content: Any) -> list[Message]:
    """The results of tools, each a message of its own, and then the rest."""
    if not isinstance(content, list):
        return [Message(role="user", content=_text(content))]
    results = [_result(block) for block in content if block.get("type") == "tool_result"]
    others = [block for block in content if block.get("type") != "tool_result"]
    if not others and content:
        return results
    return [*results, Message(role="user", content=_text(others))]


def _call(block: Mapping[str, Any]) -> ToolCall:
    given = block.get("input")
    if not isinstance(given, dict):
        raise ValueError(f"input of a tool_use block must be an object, got {shown(given)}")
    arguments = json.dumps(given, ensure_ascii=False)
    return ToolCall(id=_id(block, "id"), name=_id(block, "name"), arguments=arguments)


def _result(block: Mapping[str, Any]) -> Message:
    content = block.get("content", "")
    text = "" if content == [] else _text(content)
    return Message(role="tool", content=text, tool_call_id=_id(block, "tool_use_id"))


def _text(content: Any) -> str:
    try:
        return text_of_content(content)
    except ValueError as error:
        raise ValueError(f"content: {error}") from None


def _id(block: Mapping[str, Any], name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str) or not value:
        kind = block.get("type")
        raise ValueError(f"{name} of a {kind} block must be a text, got {shown(value)}")
    return value

"""Conversations as plain data, and their way through the model's chat template to token ids.

An endpoint converts what its clients send to a `Conversation`. Content is always text here: the
model reads nothing else.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import ContextLengthError, RequestError, shown

Role = Literal["system", "developer", "user", "assistant", "tool"]

MAX_MESSAGES = 2048
MAX_TOOLS = 128
MAX_TOOL_CHARS = 65_536
"""Most characters of all tools of a request, as JSON."""
# Ordinary text has fewer characters per token with every common tokenizer. A longer text cannot fit
# the context, and tokenising it would only cost time.
_MAX_CHARS_PER_TOKEN = 16
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a function, as the model made it."""

    id: str
    name: str
    arguments: str
    """A JSON object, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Only of role "assistant"."""
    tool_call_id: str | None = None
    """Only of role "tool": the call that the content is the result of."""
    name: str | None = None
    """Who says it, where a template shows that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call.

    Raises:
        ValueError: the name is not one that OpenAI allows, or the parameters are no object.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    """JSON schema of its arguments; None: it takes none."""

    def __post_init__(self) -> None:
        if not _TOOL_NAME.fullmatch(self.name):
            raise ValueError(
                f"a tool's name must have 1 to 64 of the characters a-z, A-Z, 0-9, _ and -, got "
                f"{shown(self.name)}"
            )
        if self.parameters is not None and self.parameters.get("type", "object") != "object":
            raise ValueError(
                f"the parameters of the tool {self.name} must be a JSON schema of type object, got "
                f"the type {shown(self.parameters['type'])}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a chat template renders."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    """Those that the model may call; empty where it must not call any."""
    add_generation_prompt: bool = True
    """End with what begins the model's answer."""
    continue_final_message: bool = False
    """Leave the last message open, so that the model continues it."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the template. Never what a client sends unchecked."""


def encode_conversation(
    engine: Engine, conversation: Conversation, *, param: str, add_special_tokens: bool = False
) -> list[int]:
    """Token ids of a conversation. Slow: call it outside the event loop.

    Args:
        param: the request field that holds the messages, for errors.
        add_special_tokens: let the tokenizer add its own; most templates write them themselves.

    Raises:
        ContextLengthError: the conversation is far longer than the context.
        RequestError: there are too many messages or tools, the model has no chat template, or the
            template refuses the conversation.
    """
    template = engine.model.chat_template
    if template is None:
        raise RequestError(
            f"The model {engine.model.name} has no chat template, so it cannot answer a "
            "conversation. Use /v1/completions, with the whole prompt as text",
            param="model",
        )
    _check_sizes(conversation, max_model_len=engine.model.max_model_len, param=param)
    _check_calls_are_rendered(conversation.messages, template, param=param)
    with naming_param(param):
        text = engine.render_chat(
            [_template_message(message, template) for message in conversation.messages],
            tools=[_template_tool(tool) for tool in conversation.tools],
            add_generation_prompt=conversation.add_generation_prompt,
            continue_final_message=conversation.continue_final_message,
            options=conversation.template_options,
        )
        _check_length(len(text), max_model_len=engine.model.max_model_len, param=param)
        return engine.encode(text, add_special_tokens=add_special_tokens)


@contextmanager
def naming_param(param: str) -> Iterator[None]:
    """An error about the prompt names the field that holds the conversation instead."""
    try:
        yield
    except RequestError as error:
        if error.param in ("prompt", "messages"):
            error.param = param
        raise


def text_of_content(content: object, *, part_types: Sequence[str] = ("text",)) -> str:
    """The text of a message's content: a text, or a list of parts such as
    `{"type": "text", "text": "..."}`, which are joined by line breaks as in vLLM.

    Args:
        part_types: the types whose `text` is read.

    Raises:
        ValueError: it is neither, or a part has another type; the message names the type.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise ValueError("must be a text, or a list of parts that is not empty")
    return "\n".join([_text_of_part(part, part_types) for part in content])


def _text_of_part(part: object, part_types: Sequence[str]) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise ValueError('each part must be an object with a type, such as {"type": "text", ...}')
    if part["type"] not in part_types:
        raise ValueError(
            f"parts of type {shown(part['type'])} are not supported: this model reads only text, "
            f"in parts of type {' or '.join(part_types)}"
        )
    if not isinstance(part.get("text"), str):
        raise ValueError(f"a part of type {part['type']} must have a text")
    text: str = part["text"]
    return text


def _check_sizes(conversation: Conversation, *, max_model_len: int, param: str) -> None:
    """Cheap checks, before the template runs."""
    messages, tools = conversation.messages, conversation.tools
    if not messages:
        raise RequestError(f"{param} is empty; give at least one message", param=param)
    if len(messages) > MAX_MESSAGES:
        raise RequestError(
            f"{param} has {len(messages)} messages; the most is {MAX_MESSAGES}", param=param
        )
    check_tools(tools)
    _check_length(sum(map(_num_chars, messages)), max_model_len=max_model_len, param=param)


def _check_calls_are_rendered(messages: Sequence[Message], template: str, *, param: str) -> None:
    # A template would leave them out silently, so that the model does not know what it called.
    if "tool_calls" not in template and any(message.tool_calls for message in messages):
        raise RequestError(
            "this model's chat template cannot show tool calls; write those of earlier messages "
            "into their content instead",
            param=param,
        )


def check_tools(tools: Sequence[Tool]) -> None:
    """
    Raises:
        RequestError: there are too many tools, they are too large, or two have the same name.
    """
    if len(tools) > MAX_TOOLS:
        raise RequestError(
            f"tools has {len(tools)} entries; the most is {MAX_TOOLS}", param="tools"
        )
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"two tools have the name {name!r}; rename one", param="tools")
    num_chars = len(json.dumps([_template_tool(tool) for tool in tools]))
    if num_chars > MAX_TOOL_CHARS:
        raise RequestError(
            f"tools has {num_chars} characters of JSON; the most is {MAX_TOOL_CHARS}. Shorten "
            "descriptions and schemas, or send fewer tools",
            param="tools",
        )


def _num_chars(message: Message) -> int:
    texts = [message.content, message.name, message.tool_call_id]
    for call in message.tool_calls:
        texts += [call.id, call.name, call.arguments]
    return sum(len(text) for text in texts if text is not None)


def _check_length(num_chars: int, *, max_model_len: int, param: str) -> None:
    if num_chars > _MAX_CHARS_PER_TOKEN * max_model_len:
        raise ContextLengthError(
            f"This model's maximum context length is {max_model_len} tokens. However, your "
            f"messages have {num_chars} characters, which cannot fit. Please reduce their length.",
            param=param,
        )


def _template_message(message: Message, template: str) -> dict[str, Any]:
    """A message with the keys that chat templates read."""
    fields: dict[str, Any] = {
        "role": _template_role(message.role, template),
        "content": message.content,
    }
    if message.tool_calls:
        fields["tool_calls"] = [_template_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        fields["name"] = message.name
    return fields


def _template_role(role: Role, template: str) -> str:
    """OpenAI renamed "system" to "developer"; few templates know the new name."""
    return "system" if role == "developer" and "developer" not in template else role


def _template_call(call: ToolCall) -> dict[str, Any]:
    # As an object, because most templates write it as JSON again.
    function = {"name": call.name, "arguments": _arguments(call)}
    return {"id": call.id, "type": "function", "function": function}


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise RequestError(
            f"the arguments of the tool call {shown(call.id)} are not a JSON object: "
            f"{shown(call.arguments)}",
            param="messages",
        )
    return arguments


def _template_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = dict(tool.parameters)
    return {"type": "function", "function": function}

"""The messages, tools and tool choice of a chat request, in OpenAI's form."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from qstar_infer.errors import RequestError, shown
from qstar_server.conversation.conversation import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Message,
    Role,
    Tool,
    ToolCall,
    text_of_content,
)
from qstar_server.conversation.tool_calls.plan import NamedTool, ToolChoice


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


def _parse_content(value: object) -> str | None:
    return None if value is None else text_of_content(value)


_TextParts = Annotated[list[TextPart], Field(min_length=1)]
Content = Annotated[
    str | None,
    PlainValidator(_parse_content, json_schema_input_type=str | _TextParts | None),
]
"""A text, or parts of text, which are joined by line breaks."""


class GivenFunctionCall(BaseModel):
    """The function and arguments of an earlier call."""

    model_config = ConfigDict(strict=True)

    name: str
    arguments: str
    """A JSON object, as text."""


class GivenToolCall(BaseModel):
    """A call that the model made earlier in the conversation."""

    model_config = ConfigDict(strict=True)

    id: str
    type: Literal["function"] = "function"
    function: GivenFunctionCall


def _check_num_calls(value: object) -> object:
    if isinstance(value, list) and len(value) > MAX_TOOLS:
        raise ValueError(f"has {len(value)} calls; the most is {MAX_TOOLS}")
    return value


class ChatMessage(BaseModel):
    """One message. Reasoning that clients send back is ignored, like other unknown keys."""

    model_config = ConfigDict(strict=True)

    role: Role
    content: Content = None
    """Required, except of an assistant's message with tool calls."""
    name: str | None = None
    tool_calls: Annotated[list[GivenToolCall] | None, BeforeValidator(_check_num_calls)] = None
    tool_call_id: str | None = None
    """Required of a tool's message: which call it answers."""
    refusal: None = None
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _check_role(self) -> "ChatMessage":
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role {self.role} cannot have tool_calls")
        if self.content is None and not self.tool_calls:
            raise ValueError(f"a message of role {self.role} must have content")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role tool must have a tool_call_id")
        return self

    def to_message(self) -> Message:
        """The message as plain data."""
        calls = [] if self.tool_calls is None else self.tool_calls
        return Message(
            role=self.role,
            content="" if self.content is None else self.content,
            tool_calls=tuple(
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in calls
            ),
            tool_call_id=self.tool_call_id,
            name=self.name,
        )


def _check_num_messages(value: object) -> object:
    # Before pydantic checks the items: each wrong one costs an error.
    if isinstance(value, list) and not 1 <= len(value) <= MAX_MESSAGES:
        raise ValueError(f"has {len(value)} messages; give 1 to {MAX_MESSAGES}")
    return value


Messages = Annotated[
    list[ChatMessage],
    Field(min_length=1, max_length=MAX_MESSAGES),
    BeforeValidator(_check_num_messages),
]


class FunctionTool(BaseModel):
    """A function that the model may call."""

    model_config = ConfigDict(strict=True)

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON schema of the arguments."""
    strict: bool | None = None
    """Changes nothing: a call that must come follows the schema, one that may come need not."""


class ChatTool(BaseModel):
    """An entry of `tools`."""

    model_config = ConfigDict(strict=True)

    type: Literal["function"]
    function: FunctionTool

    def to_tool(self) -> Tool:
        """The tool as plain data.

        Raises:
            ValueError: its name is not one that OpenAI allows.
        """
        return Tool(
            name=self.function.name,
            description=self.function.description,
            parameters=self.function.parameters,
        )


def _check_num_tools(value: object) -> object:
    if isinstance(value, list) and len(value) > MAX_TOOLS:
        raise ValueError(f"has {len(value)} entries; the most is {MAX_TOOLS}")
    return value


Tools = Annotated[list[ChatTool], Field(max_length=MAX_TOOLS), BeforeValidator(_check_num_tools)]


def plain_tools(tools: Tools | None) -> list[Tool]:
    """The tools as plain data.

    Raises:
        RequestError: the name of one is not one that OpenAI allows.
    """
    try:
        return [] if tools is None else [tool.to_tool() for tool in tools]
    except ValueError as error:
        raise RequestError(str(error), param="tools") from None


class NamedFunction(BaseModel):
    """The name of a function."""

    name: str


class NamedToolChoice(BaseModel):
    """The choice of one tool."""

    type: Literal["function"]
    function: NamedFunction


def _parse_tool_choice(value: object) -> ToolChoice | None:
    if value is None or value == "none" or value == "auto" or value == "required":
        return value
    if isinstance(value, dict) and value.get("type") == "function":
        function = value.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            return NamedTool(function["name"])
    raise ValueError(
        'must be "none", "auto", "required" or {"type": "function", "function": {"name": ...}}, '
        f"got {shown(value)}"
    )


ToolChoiceField = Annotated[
    ToolChoice | None,
    PlainValidator(
        _parse_tool_choice,
        json_schema_input_type=Literal["none", "auto", "required"] | NamedToolChoice | None,
    ),
]
"""Whether the model may or must call a tool. Null is "auto" where there are tools."""

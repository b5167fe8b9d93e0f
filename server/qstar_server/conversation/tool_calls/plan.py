"""What the tools of one request mean: what the model sees, and how its answer is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qstar_infer.errors import RequestError, shown
from qstar_server.conversation.conversation import Tool
from qstar_server.conversation.tool_calls.formats import ToolFormat, find_format, takes_tools
from qstar_server.conversation.tool_calls.parser import ToolCallParser


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of one tool, which must be called."""

    name: str


ToolChoice = Literal["none", "auto", "required"] | NamedTool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlan:
    """The tools of one request."""

    tools: Sequence[Tool] = ()
    """Those that the model sees; none of them if it must not call any."""
    format: ToolFormat | None = None
    """How calls are written; None: the answer is read as content alone."""
    is_parallel: bool = True
    """False: an answer ends behind its first call."""
    grammar: str | None = None
    """In Lark's syntax: the answer must be a call. None: it may be anything."""

    def parser(self) -> ToolCallParser | None:
        """A new parser for one answer; None if it is content alone."""
        if self.format is None:
            return None
        return self.format.parser({tool.name for tool in self.tools}, self.is_parallel)


def plan_tools(
    tools: Sequence[Tool], choice: ToolChoice | None, *, template: str | None, is_parallel: bool
) -> ToolPlan:
    """
    Args:
        choice: None is "auto" where there are tools.
        template: the model's chat template.

    Raises:
        RequestError: a choice needs tools, names one that is not there, or the template shows no
            known format of calls.
    """
    if not tools and choice not in (None, "none", "auto"):
        raise RequestError(
            "tool_choice asks for a call, but there are no tools", param="tool_choice"
        )
    if not tools or choice == "none":
        return ToolPlan()
    found = _format_of(template)
    if not isinstance(choice, NamedTool):
        grammar = found.grammar(tools, is_parallel) if choice == "required" else None
        return ToolPlan(tools=tools, format=found, is_parallel=is_parallel, grammar=grammar)
    named = [tool for tool in tools if tool.name == choice.name]
    if not named:
        raise RequestError(
            f"tool_choice names {shown(choice.name)}, which is not in tools", param="tool_choice"
        )
    return ToolPlan(
        tools=tools, format=found, is_parallel=False, grammar=found.grammar(named, False)
    )


def _format_of(template: str | None) -> ToolFormat:
    found = None if template is None else find_format(template)
    if found is None:
        why = (
            "shows no format of tool calls that this server knows (those of Hermes, Qwen and Llama "
            "3, in JSON)"
            if template is not None and takes_tools(template)
            else "takes no tools"
        )
        raise RequestError(
            f"tools cannot be used with this model: its chat template {why}. Leave out tools, or "
            "send tool_choice none",
            param="tools",
        )
    return found

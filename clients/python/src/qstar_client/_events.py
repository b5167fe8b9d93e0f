"""What happens in a stream, as typed events: the same for every endpoint.

for event in stream.events():
    match event:
        case ThoughtEvent(thought=thought): ...
        case TextEvent(text=text): ...
"""

from dataclasses import dataclass

from qstar_client._answer_types import Thought, Usage


@dataclass(frozen=True, slots=True)
class ThoughtEvent:
    """A visible token and the thought before it. Needs `show_thoughts`."""

    thought: Thought
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningEvent:
    """The next part of the joined thoughts as one text. Chat: needs `include_reasoning`."""

    text: str
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class TextEvent:
    """The next part of the visible text; never empty."""

    text: str
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """The next part of a call of a tool; the `arguments` of all parts join to JSON."""

    tool_index: int
    """Which call of the message this is part of."""
    arguments: str
    name: str | None = None
    """Name of the function; only in the first part, like `id`."""
    id: str | None = None
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class FinishEvent:
    """A choice is complete."""

    finish_reason: str
    choice_index: int = 0


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """The token counts of the request."""

    usage: Usage


StreamEvent = ThoughtEvent | ReasoningEvent | TextEvent | ToolCallEvent | FinishEvent | UsageEvent
"""Any event of `stream.events()`. The thoughts of a chunk come before its text."""

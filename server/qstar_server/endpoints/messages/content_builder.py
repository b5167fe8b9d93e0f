"""Builds the content blocks of one message step by step, and the events that tell of each step.

The block of the thoughts stays open beside the others, because a model that thinks before each
token goes on with both; clients tell them apart by `index`.
"""

import json
import uuid

from qstar_server.conversation.tool_calls.parser import FoundCall
from qstar_server.endpoints.messages.events import Event
from qstar_server.endpoints.messages.resource import (
    ContentBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)


class ContentBuilder:
    """Add to it what the model says, then call `finish` once.

    Attributes:
        blocks: the content so far, in order.
    """

    def __init__(self) -> None:
        self.blocks: list[ContentBlock] = []
        self._events: list[Event] = []
        self._thinking: tuple[int, ThinkingBlock] | None = None
        """Its place in the content, and the block."""
        self._text: tuple[int, TextBlock] | None = None
        """The block of text that is still open, if any."""

    @property
    def has_calls(self) -> bool:
        """Whether the model has called a tool."""
        return any(isinstance(block, ToolUseBlock) for block in self.blocks)

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def add_thinking(self, text: str) -> None:
        """Thoughts. The first call, even with an empty text, begins their block."""
        if self._thinking is None:
            block = ThinkingBlock(thinking="")
            self._thinking = (self._begin(block), block)
        index, block = self._thinking
        if text:
            block.thinking += text
            self._tell_delta(index, type="thinking_delta", thinking=text)

    def add_text(self, text: str) -> None:
        """Text that the user reads."""
        if self._text is None:
            block = TextBlock(text="")
            self._text = (self._begin(block), block)
        index, block = self._text
        block.text += text
        self._tell_delta(index, type="text_delta", text=text)

    def add_call(self, call: FoundCall) -> None:
        """A whole call of a tool. It ends a text that is open."""
        self._end_text()
        block = ToolUseBlock(id=f"toolu_{uuid.uuid4().hex}", name=call.name, input={})
        index = self._begin(block)
        block.input = json.loads(call.arguments)
        self._tell_delta(index, type="input_json_delta", partial_json=call.arguments)
        self._end(index)

    def finish(self) -> None:
        """End all blocks."""
        if self._thinking is not None:
            (index, block), self._thinking = self._thinking, None
            self._tell_delta(index, type="signature_delta", signature=block.signature)
            self._end(index)
        self._end_text()

    def _end_text(self) -> None:
        if self._text is not None:
            (index, _), self._text = self._text, None
            self._end(index)

    def _begin(self, block: ContentBlock) -> int:
        self.blocks.append(block)
        index = len(self.blocks) - 1
        fields = {"index": index, "content_block": block.model_dump(mode="json")}
        self._events.append(("content_block_start", fields))
        return index

    def _tell_delta(self, index: int, **delta: str) -> None:
        self._events.append(("content_block_delta", {"index": index, "delta": delta}))

    def _end(self, index: int) -> None:
        self._events.append(("content_block_stop", {"index": index}))

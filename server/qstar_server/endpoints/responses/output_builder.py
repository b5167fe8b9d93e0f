"""Builds the output items of one response step by step, and the events that tell of each step.

The events come in OpenAI's order: an item is added, then its part, then its deltas, then part and
item are done. The item of the thoughts stays open beside the others, because a model that thinks
before each token goes on with both; clients tell them apart by `output_index` and `item_id`.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from qstar_server.endpoints.responses.events import Event
from qstar_server.endpoints.responses.resource import (
    FunctionCall,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    ReasoningText,
)
from qstar_server.generation.token_logprobs import TokenLogprob


class OutputBuilder:
    """Add to it what the model says, then call `finish` once.

    Attributes:
        items: the items so far, in order.
    """

    def __init__(self) -> None:
        self.items: list[OutputItem] = []
        self._events: list[Event] = []
        self._reasoning: tuple[int, ReasoningItem] | None = None
        """Its place in the output, and the item."""
        self._message: tuple[int, OutputMessage] | None = None
        """The message that is still open, if any."""

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def add_reasoning(self, text: str) -> None:
        """Thoughts. The first call, even with an empty text, begins their item."""
        if self._reasoning is None:
            item = ReasoningItem(id=_new_id("rs"), status="in_progress", content=[])
            self._reasoning = (self._begin_item(item), item)
            self._begin_part(*self._reasoning, ReasoningText(text=""))
        index, item = self._reasoning
        if text:
            item.content[0].text += text
            self._tell_part("reasoning_text.delta", index, item, delta=text)

    def add_text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None:
        """Text of a message, with the log-probabilities of its tokens."""
        index, item = self._open_message()
        part = item.content[0]
        part.text += text
        part.logprobs.extend(logprobs)
        self._tell_part(
            "output_text.delta",
            index,
            item,
            delta=text,
            logprobs=[_json(each) for each in logprobs],
        )

    def add_call(self, *, call_id: str, name: str, arguments: str) -> None:
        """A whole call of a function. It ends a message that is open."""
        self._end_message("completed")
        item = FunctionCall(
            id=_new_id("fc"), status="in_progress", call_id=call_id, name=name, arguments=""
        )
        index = self._begin_item(item)
        item.arguments = arguments
        self._tell("function_call_arguments.delta", index, item, delta=arguments)
        self._tell("function_call_arguments.done", index, item, arguments=arguments)
        self._end_item(index, item, "completed")

    def finish(self, status: ItemStatus) -> None:
        """End all items. An output without any has one empty message, as at OpenAI.

        Args:
            status: of the items that are still open.
        """
        if all(isinstance(item, ReasoningItem) for item in self.items):
            self._open_message()
        if self._reasoning is not None:
            (index, item), self._reasoning = self._reasoning, None
            part = item.content[0]
            self._tell_part("reasoning_text.done", index, item, text=part.text)
            self._end_part(index, item, part)
            self._end_item(index, item, status)
        self._end_message(status)

    def _open_message(self) -> tuple[int, OutputMessage]:
        if self._message is None:
            item = OutputMessage(id=_new_id("msg"), status="in_progress", content=[])
            self._message = (self._begin_item(item), item)
            self._begin_part(*self._message, OutputText(text=""))
        return self._message

    def _end_message(self, status: ItemStatus) -> None:
        if self._message is None:
            return
        (index, item), self._message = self._message, None
        part = item.content[0]
        fields = {"text": part.text, "logprobs": [_json(each) for each in part.logprobs]}
        self._tell_part("output_text.done", index, item, **fields)
        self._end_part(index, item, part)
        self._end_item(index, item, status)

    def _begin_item(self, item: OutputItem) -> int:
        self.items.append(item)
        index = len(self.items) - 1
        self._events.append(("output_item.added", {"output_index": index, "item": _json(item)}))
        return index

    def _end_item(self, index: int, item: OutputItem, status: ItemStatus) -> None:
        item.status = status
        self._events.append(("output_item.done", {"output_index": index, "item": _json(item)}))

    def _begin_part(self, index: int, item: OutputMessage | ReasoningItem, part: Any) -> None:
        item.content.append(part)
        self._tell_part("content_part.added", index, item, part=_json(part))

    def _end_part(self, index: int, item: OutputMessage | ReasoningItem, part: BaseModel) -> None:
        self._tell_part("content_part.done", index, item, part=_json(part))

    def _tell_part(self, name: str, index: int, item: OutputItem, **fields: Any) -> None:
        """An event about an item's only part."""
        self._tell(name, index, item, content_index=0, **fields)

    def _tell(self, name: str, index: int, item: OutputItem, **fields: Any) -> None:
        self._events.append((name, {"item_id": item.id, "output_index": index} | fields))


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"


def _json(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json")

"""The events of a message's stream."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

EventName = Literal[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
]

Event = tuple[EventName, dict[str, Any]]
"""Type and fields."""


class StreamEvent(BaseModel):
    """The data of an event. The other fields depend on its type, as in Anthropic's API."""

    model_config = ConfigDict(extra="allow")

    type: EventName
    """Also the name of the event."""

"""The events of a message's stream."""

from typing import Any, Literal, get_args

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
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)

Event = tuple[EventName, dict[str, Any]]
"""Type and fields."""


class MessageEvent(BaseModel):
    """What all events have, for `/openapi.json`; the other fields depend on the type."""

    model_config = ConfigDict(extra="allow")

    type: EventName
    """Also the name of the event."""

"""The events of a response's stream: a type, a sequence number, and fields by the type."""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from qstar_server.endpoints.responses.resource import Response
from qstar_server.http.frames import NamedFrame

EventName = Literal[
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "error",
]


class StreamEvent(BaseModel):
    """The data of an event. The other fields depend on its type, as in OpenAI's API."""

    model_config = ConfigDict(extra="allow")

    type: EventName
    """Also the name of the event."""
    sequence_number: int
    """0 for the first event of a stream."""


Event = tuple[str, dict[str, Any]]
"""Type without the prefix `response.`, and fields."""


class EventWriter:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self._next_number = 0

    def frame(self, event: Event) -> NamedFrame:
        """The next event of the stream."""
        name, fields = event
        full_name = name if name == "error" else f"response.{name}"
        head = {"type": full_name, "sequence_number": self._next_number}
        self._next_number += 1
        # In ASCII, because some clients break lines at Unicode separators.
        return NamedFrame(full_name, json.dumps(head | fields))


def response_event(name: str, response: Response) -> Event:
    """An event that holds the whole response, such as `completed`."""
    return name, {"response": response_fields(response)}


def response_fields(response: Response) -> dict[str, Any]:
    """The response as JSON values. Thoughts are left out unless they were asked for."""
    hidden = {"thoughts"} if response.thoughts is None else None
    return response.model_dump(mode="json", exclude=hidden)

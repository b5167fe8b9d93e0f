"""Engine outputs as the JSON of `/v1/responses`: one path for a stream and a whole response."""

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_server.conversation.tool_calls.answer_reader import AnswerReader
from qstar_server.conversation.tool_calls.parser import ToolCallParser
from qstar_server.endpoints.responses.events import (
    Event,
    EventWriter,
    response_event,
    response_fields,
)
from qstar_server.endpoints.responses.output_builder import OutputBuilder
from qstar_server.endpoints.responses.protocol import ResponsesRequest
from qstar_server.endpoints.responses.resource import (
    IncompleteDetails,
    Response,
    ResponseFailure,
    ResponseUsage,
)
from qstar_server.generation.reasoning import ReasoningText
from qstar_server.generation.thoughts import thought_entries
from qstar_server.generation.token_logprobs import TokenBytes, TokenLogprob, token_logprobs
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.errors import ApiError
from qstar_server.http.frames import NamedFrame

_LARGE_DELTA_TOKENS = 64


class ResponsesRenderer:
    """Implements `Renderer`."""

    def __init__(
        self,
        request: ResponsesRequest,
        response: Response,
        *,
        parser: ToolCallParser | None,
        token_bytes: TokenBytes,
        has_reasoning: bool,
    ) -> None:
        """
        Args:
            response: without output, in progress. Its `thoughts` are None unless they are shown.
            parser: of this response's calls; None if the model has no tools.
            has_reasoning: whether the joined thoughts are part of the output.
        """
        self._request = request
        self._response = response
        self._token_bytes = token_bytes
        self._reader = AnswerReader(parser)
        self._reasoning = ReasoningText() if has_reasoning else None
        self._builder = OutputBuilder()
        self._writer = EventWriter()
        self._pending_logprobs: list[TokenLogprob] = []
        """Of tokens whose text has not come yet."""
        self._pending_thoughts: list[dict[str, Any]] = []

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        """The body of a whole response."""
        self._add(outputs[0].outputs[0], counts)
        return json.dumps(response_fields(self._response)).encode()

    def opening_frames(self) -> list[NamedFrame]:
        """The events before the first output."""
        return self._write(
            [response_event(name, self._response) for name in ("created", "in_progress")]
        )

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `frames` would block an event loop for long with this delta."""
        return delta.finished or any(
            len(output.token_ids) > _LARGE_DELTA_TOKENS for output in delta.outputs
        )

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> list[NamedFrame]:
        """The events that a delta gives; the last delta gives those that end the response too."""
        events = [event for output in delta.outputs for event in self._add(output, counts)]
        if events and self._pending_thoughts:
            deltas = [fields for name, fields in events if name.endswith(".delta")]
            place = deltas[-1] if deltas else events[0][1]
            place["thoughts"], self._pending_thoughts = self._pending_thoughts, []
        if delta.finished:
            name = "completed" if self._response.status == "completed" else "incomplete"
            events.append(response_event(name, self._response))
        return self._write(events)

    def last_frames(self, counts: TokenCounts) -> list[NamedFrame]:  # noqa: ARG002
        """Nothing: the last delta has ended the stream."""
        return []

    def failure_frames(self, error: ApiError) -> list[NamedFrame]:
        """The events that end a response that failed."""
        self._response.status = "failed"
        detail = error.envelope()["error"]
        self._response.error = ResponseFailure(message=str(detail["message"]))
        self._response.output = self._builder.items
        fields = {name: detail[name] for name in ("code", "message", "param")}
        return self._write([("error", fields), response_event("failed", self._response)])

    def _write(self, events: Sequence[Event]) -> list[NamedFrame]:
        return [self._writer.frame(event) for event in events]

    def _add(self, output: CompletionOutput, counts: TokenCounts) -> list[Event]:
        """Add an output to the response, and return the events that tell of it."""
        if self._response.thoughts is not None:
            entries = thought_entries(output.thoughts)
            self._response.thoughts += entries
            self._pending_thoughts += [entry.model_dump(mode="json") for entry in entries]
        if self._reasoning is not None:
            self._builder.add_reasoning(self._reasoning.push(output.thoughts))
        self._pending_logprobs += self._logprobs(output)
        for piece in self._reader.read(output.text, is_last=output.finish_reason is not None):
            if isinstance(piece, str):
                self._add_text(piece)
            else:
                call_id = f"call_{uuid.uuid4().hex}"
                self._builder.add_call(call_id=call_id, name=piece.name, arguments=piece.arguments)
        if output.finish_reason is not None:
            self._finish(is_whole=output.finish_reason == "stop", counts=counts)
        return self._builder.take_events()

    def _add_text(self, text: str) -> None:
        self._builder.add_text(text, self._pending_logprobs)
        self._pending_logprobs = []

    def _logprobs(self, output: CompletionOutput) -> list[TokenLogprob]:
        if not self._request.has_logprobs:
            return []
        return token_logprobs(
            output.token_ids,
            [] if output.logprobs is None else output.logprobs,
            num_top=self._response.top_logprobs,
            token_bytes=self._token_bytes,
            names_ids=bool(self._request.return_tokens_as_token_ids),
        )

    def _finish(self, *, is_whole: bool, counts: TokenCounts) -> None:
        if self._pending_logprobs:
            self._add_text("")
        self._builder.finish("completed" if is_whole else "incomplete")
        self._response.output = self._builder.items
        self._response.usage = ResponseUsage.of(counts)
        if is_whole:
            self._response.status = "completed"
            self._response.completed_at = int(time.time())
        else:
            self._response.status = "incomplete"
            self._response.incomplete_details = IncompleteDetails()

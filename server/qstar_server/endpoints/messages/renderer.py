"""Engine outputs as the JSON of `/v1/messages`: one path for a stream and a whole message."""

import json
from collections.abc import Sequence

from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_server.conversation.tool_calls.answer_reader import AnswerReader
from qstar_server.conversation.tool_calls.parser import ToolCallParser
from qstar_server.endpoints.messages.content_builder import ContentBuilder
from qstar_server.endpoints.messages.error_envelope import error_envelope
from qstar_server.endpoints.messages.events import Event
from qstar_server.endpoints.messages.resource import MessageResource, MessageUsage, StopReason
from qstar_server.generation.reasoning import ReasoningText
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.errors import ApiError
from qstar_server.http.frames import NamedFrame

_LARGE_DELTA_TOKENS = 64


class MessagesRenderer:
    """Implements `Renderer`."""

    def __init__(
        self,
        *,
        message_id: str,
        model: str,
        max_model_len: int,
        parser: ToolCallParser | None,
        has_thinking: bool,
    ) -> None:
        """
        Args:
            max_model_len: tells an output that fills the context from one that reaches a limit.
            parser: of this message's calls; None if the model has no tools.
            has_thinking: whether the joined thoughts are part of the content.
        """
        self._id = message_id
        self._model = model
        self._max_model_len = max_model_len
        self._builder = ContentBuilder()
        self._reader = AnswerReader(parser)
        self._reasoning = ReasoningText() if has_thinking else None
        self._has_begun = False

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        """The body of a whole message."""
        output = outputs[0].outputs[0]
        self._add(output)
        message = self._message(counts)
        message.content = self._builder.blocks
        message.stop_reason = self._stop_reason(output, counts)
        message.stop_sequence = _stop_sequence(output)
        return json.dumps(message.model_dump(mode="json")).encode()

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `frames` would block an event loop for long with this delta."""
        return any(len(output.token_ids) > _LARGE_DELTA_TOKENS for output in delta.outputs)

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> list[NamedFrame]:
        """The events that a delta gives; the first and the last begin and end the message too."""
        events: list[Event] = []
        if not self._has_begun:
            self._has_begun = True
            message = self._message(counts).model_dump(mode="json")
            events.append(("message_start", {"message": message}))
        for output in delta.outputs:
            events += self._add(output)
            if output.finish_reason is not None:
                events += self._end(output, counts)
        return [_frame(event) for event in events]

    def last_frames(self, counts: TokenCounts) -> list[NamedFrame]:  # noqa: ARG002
        """Nothing: the last delta has ended the stream."""
        return []

    def failure_frames(self, error: ApiError) -> list[NamedFrame]:
        """The event that ends a message that failed."""
        return [NamedFrame("error", json.dumps(error_envelope(error)))]

    def _add(self, output: CompletionOutput) -> list[Event]:
        """Add an output to the content, and return the events that tell of it."""
        if self._reasoning is not None:
            self._builder.add_thinking(self._reasoning.push(output.thoughts))
        for piece in self._reader.read(output.text, is_last=output.finish_reason is not None):
            if isinstance(piece, str):
                self._builder.add_text(piece)
            else:
                self._builder.add_call(piece)
        if output.finish_reason is not None:
            self._builder.finish()
        return self._builder.take_events()

    def _end(self, output: CompletionOutput, counts: TokenCounts) -> list[Event]:
        delta = {
            "stop_reason": self._stop_reason(output, counts),
            "stop_sequence": _stop_sequence(output),
        }
        usage = MessageUsage.of(counts).model_dump(mode="json")
        return [("message_delta", {"delta": delta, "usage": usage}), ("message_stop", {})]

    def _message(self, counts: TokenCounts) -> MessageResource:
        return MessageResource(
            id=self._id, model=self._model, content=[], usage=MessageUsage.of(counts)
        )

    def _stop_reason(self, output: CompletionOutput, counts: TokenCounts) -> StopReason:
        if self._builder.has_calls:
            return "tool_use"
        if output.finish_reason == "stop":
            return "end_turn" if _stop_sequence(output) is None else "stop_sequence"
        num_tokens = counts.num_prompt_tokens + counts.num_completion_tokens
        is_full = num_tokens >= self._max_model_len
        return "model_context_window_exceeded" if is_full else "max_tokens"


def _stop_sequence(output: CompletionOutput) -> str | None:
    return output.stop_reason if isinstance(output.stop_reason, str) else None


def _frame(event: Event) -> NamedFrame:
    name, fields = event
    # In ASCII, because some clients break lines at Unicode separators.
    return NamedFrame(name, json.dumps({"type": name} | fields))

"""The stream of `POST /v1/completions`: its events, and the whole out of its chunks."""

from collections.abc import Iterator

from qstar_client._completions.types import Completion, CompletionChoice, CompletionChunk, Logprobs
from qstar_client._errors import StreamError
from qstar_client._events import FinishEvent, StreamEvent, TextEvent, ThoughtEvent, UsageEvent
from qstar_client._joining import extended, update
from qstar_client._stream_reader import StreamFormat


class CompletionJoiner:
    """Joins chunks to a `Completion`. For unknown fields, the value of the last chunk wins."""

    def __init__(self) -> None:
        self._whole: Completion | None = None
        self._choices: dict[int, CompletionChoice] = {}

    def add(self, chunk: CompletionChunk) -> None:
        """Append one chunk; chunks of several choices may interleave."""
        if self._whole is None:
            fields = chunk.model_dump(exclude={"choices"})
            self._whole = Completion.model_validate({**fields, "choices": []})
        else:
            update(self._whole, chunk, skip={"choices"})
        for delta in chunk.choices:
            choice = self._choices.get(delta.index)
            if choice is None:
                self._choices[delta.index] = delta.model_copy(deep=True)
            else:
                _extend_choice(choice, delta)

    def join(self) -> Completion:
        """The whole completion, with choices in order. Call it last.

        Raises:
            StreamError: there were no chunks.
        """
        if self._whole is None:
            raise StreamError("the stream contained no chunks")
        choices = [self._choices[index] for index in sorted(self._choices)]
        return self._whole.model_copy(update={"choices": choices})


def completion_events(chunk: CompletionChunk) -> Iterator[StreamEvent]:
    """What happens in a chunk."""
    for choice in chunk.choices:
        for thought in choice.thoughts or ():
            yield ThoughtEvent(thought, choice.index)
        if choice.text:
            yield TextEvent(choice.text, choice.index)
        if choice.finish_reason is not None:
            yield FinishEvent(choice.finish_reason, choice.index)
    if chunk.usage is not None:
        yield UsageEvent(chunk.usage)


COMPLETION_STREAM = StreamFormat(
    chunk_type=CompletionChunk,
    joiner=CompletionJoiner,
    events=completion_events,
    is_last=lambda _: False,
)


def _extend_choice(choice: CompletionChoice, delta: CompletionChoice) -> None:
    """Append in place; `choice` and its lists belong to the joiner."""
    update(choice, delta, skip={"index", "text", "thoughts", "token_ids", "logprobs"})
    choice.text += delta.text
    choice.thoughts = extended(choice.thoughts, delta.thoughts)
    choice.token_ids = extended(choice.token_ids, delta.token_ids)
    if choice.logprobs is None:
        choice.logprobs = delta.logprobs and delta.logprobs.model_copy(deep=True)
    elif delta.logprobs is not None:
        _extend_logprobs(choice.logprobs, delta.logprobs)


def _extend_logprobs(target: Logprobs, delta: Logprobs) -> None:
    target.tokens += delta.tokens
    target.token_logprobs += delta.token_logprobs
    target.text_offset += delta.text_offset
    if target.top_logprobs is not None and delta.top_logprobs is not None:
        target.top_logprobs += delta.top_logprobs

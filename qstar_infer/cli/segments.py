"""Which piece of the output text belongs to which visible token."""

from dataclasses import dataclass, field

from qstar_infer.outputs import CompletionOutput, Thought


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of the text and the tokens that make it.

    Usually one token; several where they share a character; "" for a token without text at the
    end, such as end of sequence.
    """

    text: str
    thoughts: tuple[Thought, ...]


@dataclass(slots=True)
class SegmentStream:
    """Cuts the text of a stream at its `token_offsets`.

    A token's piece ends where the next token begins. Text can arrive after its token, since the
    engine holds back what may become a stop string or a whole character. The texts of all segments,
    joined, are the streamed text.
    """

    _text: str = ""
    """Arrived, and not yet in a segment."""
    _begin: int = 0
    """Offset of `_text` in the whole text."""
    _tokens: list[tuple[int, Thought]] = field(default_factory=list)
    """Offset and thought of each token that is not yet in a segment."""

    def push(self, delta: CompletionOutput) -> list[Segment]:
        """Take what is new, with its thoughts; return the segments that are now complete."""
        self._text += delta.text
        self._tokens += zip(delta.token_offsets, delta.thoughts, strict=True)
        arrived = self._begin + len(self._text)
        segments = []
        while (end := self._next_offset()) is not None and end <= arrived:
            segments.append(self._take(end))
        return segments

    def finish(self) -> list[Segment]:
        """The rest, when no more will come. The last token gets what remains of the text."""
        arrived = self._begin + len(self._text)
        segments = []
        while self._tokens:
            end = self._next_offset()
            segments.append(self._take(arrived if end is None else min(end, arrived)))
        return segments

    def _num_tokens_at_front(self) -> int:
        """How many waiting tokens begin at the offset of the first."""
        first = self._tokens[0][0]
        return sum(offset == first for offset, _ in self._tokens)

    def _next_offset(self) -> int | None:
        """Where the first segment ends; None until a token begins after it."""
        if not self._tokens:
            return None
        count = self._num_tokens_at_front()
        return self._tokens[count][0] if count < len(self._tokens) else None

    def _take(self, end: int) -> Segment:
        count = self._num_tokens_at_front()
        length = end - self._begin
        thoughts = tuple(thought for _, thought in self._tokens[:count])
        segment = Segment(text=self._text[:length], thoughts=thoughts)
        self._text = self._text[length:]
        self._begin = end
        del self._tokens[:count]
        return segment

"""Which piece of the output text belongs to which visible token.

A token's own text cannot simply be printed: a character may be split over tokens, special tokens
are left out of the text, and some tokenizers drop a leading space. The text is the truth; the
tokens are laid over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from qstar_infer.outputs import Thought

HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of the text and the tokens that make it.

    Usually one token; several where a character is split over them; "" for a token that does not
    show in the text.
    """

    text: str
    thoughts: tuple[Thought, ...]


@dataclass(slots=True)
class Aligner:
    """Turns a stream of (new text, new thoughts) into segments, in order and without loss.

    The texts of all segments of a finished stream, joined, are the streamed text.
    """

    _text: str = ""
    _thoughts: list[Thought] = field(default_factory=list)

    def push(self, text: str, thoughts: Sequence[Thought]) -> list[Segment]:
        """Take what is new; give back what can be told apart so far."""
        self._text += text
        self._thoughts += thoughts
        segments = []
        while (segment := self._next_segment()) is not None:
            segments.append(segment)
        return segments

    def finish(self) -> list[Segment]:
        """The rest, when no more will come: what remains of the text goes to the last tokens."""
        if not self._text and not self._thoughts:
            return []
        rest = self._take(len(self._text), len(self._thoughts))
        return [rest]

    def _next_segment(self) -> Segment | None:
        if not self._thoughts:
            return None
        first = self._thoughts[0]
        if not _is_unclear(first) and self._text.startswith(first.token):
            return self._take(len(first.token), 1)
        if first.token.startswith(self._text):
            return None  # its text is still to come
        for count, thought in enumerate(self._thoughts[1:], start=1):
            # The first token after the unclear ones whose text is found ends their stretch.
            position = -1 if _is_unclear(thought) else self._text.find(thought.token)
            if position >= 0:
                return self._take(position, count)
        if self._text and all(HALF_CHARACTER in thought.token for thought in self._thoughts):
            return self._take(len(self._text), len(self._thoughts))
        return None

    def _take(self, num_chars: int, num_tokens: int) -> Segment:
        segment = Segment(text=self._text[:num_chars], thoughts=tuple(self._thoughts[:num_tokens]))
        self._text = self._text[num_chars:]
        del self._thoughts[:num_tokens]
        return segment


def _is_unclear(thought: Thought) -> bool:
    """Whether a token's own text cannot be looked for: empty, or with half a character."""
    return not thought.token or HALF_CHARACTER in thought.token

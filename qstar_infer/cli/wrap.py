"""Word wrap for styled text that arrives piece by piece."""

import re
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.text import Text

PIECES = re.compile(r"\n|[^\S\n]+|\S+")
"""A line break, a run of other white space, or a word."""


@dataclass(slots=True)
class StreamWrapper:
    """Puts a line break before each word that would cross the right edge.

    Holds back a word until its end is known, so that a word of several tokens is not broken. A
    word longer than a line is broken by the terminal. White space that would cross the edge becomes
    a line break; nothing else changes.

    Args:
        width: columns of the terminal, at least 1.
    """

    width: int
    _column: int = 0
    _word: Text = field(default_factory=Text)
    _is_torn: bool = False
    """Inside a word longer than a line."""

    def push(self, text: Text) -> Text:
        """Take more text; return what can be printed now."""
        ready = Text()
        for match in PIECES.finditer(text.plain):
            piece = text[match.start() : match.end()]
            if match.group().isspace():
                ready.append_text(self.flush())
                self._is_torn = False
                self._place(ready, piece)
            else:
                self._word.append_text(piece)
                if self._is_torn or cell_len(self._word.plain) > self.width:
                    ready.append_text(self.flush())
                    self._is_torn = True
        return ready

    def flush(self) -> Text:
        """Return the word that is held back. Call it at the end."""
        ready = Text()
        if self._word:
            self._place(ready, self._word)
            self._word = Text()
        return ready

    def _place(self, ready: Text, piece: Text) -> None:
        if piece.plain == "\n":
            ready.append_text(piece)
            self._column = 0
            return
        cells = cell_len(piece.plain)
        if self._column > 0 and self._column + cells > self.width and not self._is_torn:
            ready.append("\n")
            self._column = 0
            if piece.plain.isspace():
                return
        ready.append_text(piece)
        # The terminal breaks a piece that is wider than the line.
        end = self._column + cells
        self._column = end if end <= self.width else end % self.width or self.width

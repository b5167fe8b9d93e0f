"""Where a reader is: page, token, shading; and what each key does to it. No terminal here."""

from collections.abc import Sequence

from qstar_infer.cli.reading.layout import Fragment, Line
from qstar_infer.cli.reading.page import Page
from qstar_infer.cli.shade import Shading


class Reader:
    """The place in some pages.

    Attributes:
        number: the page.
        token: the token that the cursor stands on.
        shading: what the colours show.
        top: the first line of the screen, counted in all lines of the page with the card.
    """

    def __init__(self, pages: Sequence[Page], *, begin: int = 0) -> None:
        """
        Args:
            pages: at least one.
            begin: the page to begin with.
        """
        self.pages = pages
        self.number = begin
        self.token = 0
        self.shading: Shading = "weight"
        self.top = 0
        self._rank = -1
        """Place in the order of changes; -1 before the first."""

    @property
    def page(self) -> Page:
        """The page that is read."""
        return self.pages[self.number]

    def move(self, num_tokens: int) -> None:
        """Go so many tokens ahead, or back if it is negative."""
        self._go(self.token + num_tokens)

    def go_to_begin(self) -> None:
        """Go to the first token."""
        self._go(0)

    def go_to_end(self) -> None:
        """Go to the last token."""
        self._go(len(self.page.pieces) - 1)

    def move_lines(self, num_lines: int, width: int) -> None:
        """Go to the token in about the same column, so many lines ahead or back."""
        lines = self.page.lines(width)
        line, fragment = place_of(lines, self.token)
        target = min(max(line + num_lines, 0), len(lines) - 1)
        if target != line and lines[target]:
            self._go(_nearest(lines[target], fragment.column))

    def move_by_change(self, step: int) -> None:
        """Go to the token whose thought changed most, then to the next most; or back."""
        ranking = self.page.by_change()
        if ranking:
            rank = min(max(self._rank + step, 0), len(ranking) - 1)
            self._go(ranking[rank])
            self._rank = rank

    def turn_page(self, step: int) -> None:
        """Show the next page, or the one before it; behind the last comes the first."""
        self.number = (self.number + step) % len(self.pages)
        self.top = 0
        self._go(0)

    def _go(self, token: int) -> None:
        self.token = min(max(token, 0), len(self.page.pieces) - 1)
        self._rank = -1


def place_of(lines: Sequence[Line], token: int) -> tuple[int, Fragment]:
    """The line of a token, and its part there; the last if it goes over several."""
    for number in range(len(lines) - 1, -1, -1):
        for fragment in lines[number]:
            if fragment.token == token:
                return number, fragment
    return 0, Fragment("", token, 0)


def _nearest(line: Line, column: int) -> int:
    return min(line, key=lambda fragment: abs(fragment.column - column)).token

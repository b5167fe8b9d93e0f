"""Prints an answer as it is generated: styled in a terminal, exact text in a pipe or a file."""

from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from qstar_infer.cli.render import legend, plain_segments, render_segments, shaded_segments
from qstar_infer.cli.segments import Segment, SegmentStream
from qstar_infer.cli.shade import palette_of
from qstar_infer.cli.terminal import printable
from qstar_infer.cli.wrap import StreamWrapper
from qstar_infer.outputs import CompletionOutput

View = Literal["text", "shaded", "thoughts"]
"""text: nothing else. shaded: each token shaded by the weight of its thought. thoughts: shaded, and
each thought after its token."""


def view_of(console: Console, show_thoughts: bool | None) -> View:
    """The view that `--show-thoughts` or `--no-thoughts` asks for; None: neither was given."""
    if show_thoughts is None:
        return "shaded" if console.is_terminal else "text"
    return "thoughts" if show_thoughts else "text"


class AnswerPrinter:
    """Prints the deltas of one completion as they come.

    Attributes:
        answer: the completion so far.
    """

    def __init__(self, console: Console, *, view: View) -> None:
        """
        Args:
            console: if it is not a terminal, nothing is styled, wrapped or changed.
        """
        self._console = console
        self._view = view
        self._palette = palette_of(console)
        self._segments = SegmentStream()
        self._wrapper = StreamWrapper(max(console.width, 1))
        self._ends_line = True
        self.answer = CompletionOutput(index=0)

    def push(self, delta: CompletionOutput) -> None:
        """Print what is new."""
        self.answer.extend(delta)
        if self._view != "text":
            self._show_segments(self._segments.push(delta))
        elif self._console.is_terminal:
            self._print(self._wrapper.push(Text(printable(delta.text))))
        else:
            self._write(delta.text)

    def finish(self) -> None:
        """Print what was held back."""
        self._show_segments(self._segments.finish())
        if self._console.is_terminal:
            self._print(self._wrapper.flush())

    def end_line(self) -> None:
        """End the line, unless the text has."""
        if not self._ends_line:
            self._write("\n")

    def print_legend(self) -> None:
        """Explain the shades, if there are any."""
        if self._view != "text" and self.answer.num_thought_tokens:
            line = legend(self._palette, has_thoughts=self._view == "thoughts")
            fits = cell_len(line.plain) <= self._console.width
            self._console.print(line, soft_wrap=fits)  # which keeps the shaded space at its end

    def print_counts(self, elapsed_s: float, *, hint: str = "") -> None:
        """Print one line: how many tokens, how fast, and what can be done next."""
        num_tokens = len(self.answer.token_ids)
        rate = f", {num_tokens / elapsed_s:.1f} tokens/s" if elapsed_s > 0 else ""
        counts = f"{num_tokens} tokens, {self.answer.num_thought_tokens} thought tokens{rate}"
        line = f"{counts}. {hint}" if hint else counts
        self._console.print(Text(line, style="dim"))

    def _show_segments(self, segments: list[Segment]) -> None:
        if not self._console.is_terminal:
            self._write(plain_segments(segments))
            return
        draw = render_segments if self._view == "thoughts" else shaded_segments
        self._print(self._wrapper.push(draw(segments, self._palette)))

    def _print(self, text: Text) -> None:
        if text.plain:
            self._ends_line = text.plain.endswith("\n")
            self._console.print(text, end="", soft_wrap=True)

    def _write(self, text: str) -> None:
        if text:
            self._ends_line = text.endswith("\n")
            self._console.file.write(text)
            self._console.file.flush()

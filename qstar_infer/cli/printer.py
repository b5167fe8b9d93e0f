"""Prints an answer as it is generated: styled in a terminal, exact text in a pipe or a file."""

from rich.console import Console
from rich.text import Text

from qstar_infer.cli.render import legend, plain_segments, render_segments
from qstar_infer.cli.segments import Segment, SegmentStream
from qstar_infer.cli.terminal import printable
from qstar_infer.cli.wrap import StreamWrapper
from qstar_infer.outputs import CompletionOutput


class AnswerPrinter:
    """Prints the deltas of one completion as they come.

    Attributes:
        text: the text so far.
        num_tokens: its visible tokens.
        num_thought_tokens: the thought tokens sampled for them.
    """

    def __init__(self, console: Console, *, show_thoughts: bool) -> None:
        """
        Args:
            console: if it is not a terminal, nothing is styled, wrapped or changed.
            show_thoughts: print each thought after its token.
        """
        self._console = console
        self._show_thoughts = show_thoughts
        self._segments = SegmentStream()
        self._wrapper = StreamWrapper(max(console.width, 1))
        self._ends_line = True
        self.text = ""
        self.num_tokens = 0
        self.num_thought_tokens = 0

    def push(self, delta: CompletionOutput) -> None:
        """Print what is new."""
        self.text += delta.text
        self.num_tokens += len(delta.token_ids)
        self.num_thought_tokens += delta.num_thought_tokens
        if self._show_thoughts:
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
        """End the line, unless the text has. Not part of the text, so not for a pipe or a file."""
        if not self._ends_line:
            self._write("\n")

    def print_summary(self, elapsed_s: float) -> None:
        """Print the legend and the counts."""
        if self._show_thoughts and self.num_thought_tokens:
            self._console.print(legend(), soft_wrap=True)
        rate = f", {self.num_tokens / elapsed_s:.1f} tokens/s" if elapsed_s > 0 else ""
        counts = f"{self.num_tokens} tokens, {self.num_thought_tokens} thought tokens{rate}"
        self._console.print(Text(counts, style="dim"), soft_wrap=True)

    def _show_segments(self, segments: list[Segment]) -> None:
        if self._console.is_terminal:
            self._print(self._wrapper.push(render_segments(segments)))
        else:
            self._write(plain_segments(segments))

    def _print(self, text: Text) -> None:
        if text.plain:
            self._ends_line = text.plain.endswith("\n")
            self._console.print(text, end="", soft_wrap=True)

    def _write(self, text: str) -> None:
        if text:
            self._ends_line = text.endswith("\n")
            self._console.file.write(text)
            self._console.file.flush()

"""Reads one answer piece by piece: its content and its calls, in their order."""

from collections.abc import Iterator

from qstar_server.conversation.tool_calls.parser import FoundCall, ToolCallParser


class AnswerReader:
    """For endpoints whose answers are lists of items, in which the order of text and calls shows.

    The pieces between two calls add up to the same text, however the answer is cut.
    """

    def __init__(self, parser: ToolCallParser | None) -> None:
        """
        Args:
            parser: None if the answer is content alone.
        """
        self._parser = parser

    def read(self, text: str, *, is_last: bool) -> Iterator[str | FoundCall]:
        """What the next piece of the answer adds. No text is empty."""
        if self._parser is None:
            if text:
                yield text
            return
        content = ""
        # One character at a time: of a longer piece, the parser does not tell what came first.
        for found in [*map(self._parser.push, text), *([self._parser.flush()] if is_last else [])]:
            content += found.content
            if found.calls and content:
                yield content
                content = ""
            yield from found.calls
        if content:
            yield content

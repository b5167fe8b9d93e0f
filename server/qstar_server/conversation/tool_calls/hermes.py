"""Hermes' and Qwen's format: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`."""

from collections.abc import Container

from qstar_server.conversation.tool_calls.parser import Found, read_call

BEGIN = "<tool_call>"
END = "</tool_call>"


class HermesParser:
    """Implements `ToolCallParser`. White space around calls is not content."""

    def __init__(self, names: Container[str], *, is_parallel: bool) -> None:
        """
        Args:
            names: the functions that may be called.
            is_parallel: False: the answer ends behind its first call.
        """
        self._names = names
        self._is_parallel = is_parallel
        self._held = ""
        self._is_in_call = False
        self._space = ""
        """White space before the call that has begun."""
        self._has_called = False

    def push(self, text: str) -> Found:
        """What the next piece adds. Holds back what may become part of a call."""
        found = Found()
        self._held += text
        while self._is_open and self._read_next(found):
            pass
        return found

    def flush(self) -> Found:
        """What was held back, at the end of the answer."""
        found = Found()
        if self._is_open and self._is_in_call:
            self._end_call(found, self._held, end="")
        elif self._is_open:
            found.content = self._held.rstrip() if self._has_called else self._held
        self._held = ""
        return found

    @property
    def _is_open(self) -> bool:
        return self._is_parallel or not self._has_called

    def _read_next(self, found: Found) -> bool:
        """Read up to the next marker; False if there is none yet."""
        before, marker, after = self._held.partition(END if self._is_in_call else BEGIN)
        if self._is_in_call:
            if marker:
                self._held = after
                self._end_call(found, before, end=END)
        elif marker:
            self._is_in_call = True
            self._held = after
            self._space = before[len(before.rstrip()) :]
            found.content += before.rstrip()
        else:
            num_safe = _num_safe(before)
            found.content += before[:num_safe]
            self._held = before[num_safe:]
        return bool(marker)

    def _end_call(self, found: Found, body: str, *, end: str) -> None:
        self._is_in_call = False
        call = read_call(body, names=self._names, arguments_key="arguments")
        if call is None:
            found.content += self._space + BEGIN + body + end
            return
        found.calls.append(call)
        self._has_called = True


def _num_safe(text: str) -> int:
    """How many characters are content: not white space at the end, nor the start of a marker."""
    lengths = range(min(len(BEGIN) - 1, len(text)), 0, -1)
    begun = next((length for length in lengths if text.endswith(BEGIN[:length])), 0)
    return len(text[: len(text) - begun].rstrip())

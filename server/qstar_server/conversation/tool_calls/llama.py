"""Llama 3's format: an answer that is `{"name": ..., "parameters": {...}}` is a call."""

from collections.abc import Container

from qstar_server.conversation.tool_calls.parser import Found, read_call


class LlamaParser:
    """Implements `ToolCallParser`. There is one call at most, and no content beside it."""

    def __init__(self, names: Container[str]) -> None:
        """
        Args:
            names: the functions that may be called.
        """
        self._names = names
        self._held = ""
        self._is_content = False

    def push(self, text: str) -> Found:
        """What the next piece adds. Holds back all of an answer that begins like JSON."""
        if self._is_content:
            return Found(text)
        self._held += text
        begun = self._held.lstrip()
        if not begun or begun[0] == "{":
            return Found()
        self._is_content = True
        return self._take_held()

    def flush(self) -> Found:
        """What was held back, at the end of the answer."""
        call = read_call(self._held, names=self._names, arguments_key="parameters")
        return self._take_held() if call is None else Found(calls=[call])

    def _take_held(self) -> Found:
        held, self._held = self._held, ""
        return Found(held)

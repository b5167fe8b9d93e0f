"""Finds stop strings in text that arrives in pieces."""


class StopStrings:
    """Holds back text that may be the start of a stop string, and cuts at the first match.

    If several stop strings match, the one that ends first wins; of those that end at the same
    character, the one that begins first.
    """

    def __init__(self, stop: tuple[str, ...], *, is_kept: bool) -> None:
        """
        Args:
            is_kept: keep the matched stop string at the end of the text.
        """
        self._stop = stop
        self._is_kept = is_kept
        self._held = ""
        self._longest = max((len(text) for text in stop), default=0)

    def push(self, piece: str, *, may_stop: bool = True) -> tuple[str, str | None]:
        """Add the next piece of text.

        Args:
            may_stop: False ignores stop strings (the output is still below `min_tokens`).

        Returns:
            The text that may be shown now, and the stop string that matched, or None. Push nothing
            more after a match.
        """
        text = self._held + piece
        self._held = ""
        if not may_stop or not self._stop:
            return text, None
        found = self._first_in(text)
        if found is not None:
            start, stop = found
            return text[: start + len(stop) * self._is_kept], stop
        num_held = self._num_to_hold(text)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held], None

    def flush(self) -> str:
        """End the text and return what was held back."""
        held, self._held = self._held, ""
        return held

    def _first_in(self, text: str) -> tuple[int, str] | None:
        found = [(text.find(stop), stop) for stop in self._stop]
        ends = [(start + len(stop), start, stop) for start, stop in found if start >= 0]
        return min(ends)[1:] if ends else None

    def _num_to_hold(self, text: str) -> int:
        """Length of the longest suffix of the text that is a prefix of some stop string."""
        for length in range(min(len(text), self._longest - 1), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stop):
                return length
        return 0

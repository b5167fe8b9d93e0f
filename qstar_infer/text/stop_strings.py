"""Finds stop strings in text that arrives in pieces."""


class StopStrings:
    """Holds back text that may be the start of a stop string, and cuts at the first match.

    If several stop strings match, the one that ends first wins; of those that end at the same
    character, the one that begins first. Below `min_tokens` no stop string may end, but one may
    begin, as in vLLM.
    """

    def __init__(self, stop: tuple[str, ...], *, is_kept: bool) -> None:
        """
        Args:
            is_kept: keep the matched stop string at the end of the text.
        """
        self._stop = stop
        self._is_kept = is_kept
        self._held = ""
        self._num_spared = 0
        """Characters of `_held`, from its start, in which no stop string may end."""
        self._longest = max((len(text) for text in stop), default=0)

    def push(self, piece: str, *, may_stop: bool = True) -> tuple[str, str | None]:
        """Add the next piece of text.

        Args:
            may_stop: False ignores stop strings that end in this piece (the output is still below
                `min_tokens`).

        Returns:
            The text that may be shown now, and the stop string that matched, or None. Push nothing
            more after a match.
        """
        text = self._held + piece
        self._held = ""
        num_spared = self._num_spared if may_stop else len(text)
        found = self._first_in(text, num_spared)
        if found is not None:
            start, stop = found
            return text[: start + len(stop) * self._is_kept], stop
        num_shown = len(text) - self._num_to_hold(text)
        self._held = text[num_shown:]
        self._num_spared = max(0, num_spared - num_shown)
        return text[:num_shown], None

    def flush(self) -> str:
        """End the text and return what was held back."""
        held, self._held = self._held, ""
        return held

    def _first_in(self, text: str, num_spared: int) -> tuple[int, str] | None:
        """Where the first match begins that ends behind the spared characters, and its string."""
        found = [(text.find(stop, max(0, num_spared - len(stop) + 1)), stop) for stop in self._stop]
        ends = [(start + len(stop), start, stop) for start, stop in found if start >= 0]
        return min(ends)[1:] if ends else None

    def _num_to_hold(self, text: str) -> int:
        """Length of the longest suffix of the text that is a prefix of some stop string."""
        for length in range(min(len(text), self._longest - 1), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stop):
                return length
        return 0

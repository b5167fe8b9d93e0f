"""Which tokens a request allows, resolved for one vocabulary. Plain data.

A set of tokens is a bitmask: token `i` is bit `i % 8`, from the lowest, of byte `i // 8`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class TextGrammar(Protocol):
    """Follows the output of one sequence. What it says depends on the given text alone."""

    def error_after(self, output: Sequence[int]) -> str | None:
        """Why nothing may come after an output, in words for the client; None if it may."""
        ...

    def allowed_after(self, output: Sequence[int]) -> bytes | None:
        """The tokens that may come after an output, as a bitmask; empty where there is an error.

        Args:
            output: token ids, drafts and guesses included.

        Returns:
            None if the output is complete, or if it breaks the grammar, as a wrong guess may: what
            comes then is never used.
        """
        ...

    def is_complete(self, output: Sequence[int]) -> bool:
        """Whether the output satisfies the grammar and nothing can follow it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What limits the visible tokens of a request. Thought tokens have no such limits."""

    allowed: bytes | None = None
    """Bitmask of `allowed_token_ids`; None: all."""
    bad_words: tuple[tuple[int, ...], ...] = ()
    """Token ids of words that must not come."""
    new_grammar: Callable[[], TextGrammar] | None = None
    """Creates what follows the output of one completion."""


def bitmask(token_ids: Iterable[int], *, vocab_size: int) -> bytes:
    """The bitmask of some tokens, `ceil(vocab_size / 8)` bytes."""
    mask = bytearray(-(-vocab_size // 8))
    for token_id in token_ids:
        mask[token_id >> 3] |= 1 << (token_id & 7)
    return bytes(mask)


def intersection(mask: bytes | None, other: bytes | None) -> bytes | None:
    """The tokens in both masks of one length; None is all tokens."""
    if mask is None or other is None:
        return other if mask is None else mask
    both = int.from_bytes(mask, "little") & int.from_bytes(other, "little")
    return both.to_bytes(len(mask), "little")


def is_subset(mask: bytes, other: bytes) -> bool:
    """Whether all tokens of a mask are in another one."""
    return not int.from_bytes(mask, "little") & ~int.from_bytes(other, "little")


def last_of_bad_words(bad_words: Iterable[tuple[int, ...]], output: Sequence[int]) -> set[int]:
    """The tokens that would complete a bad word after an output."""
    newest = tuple(output[-max(map(len, bad_words), default=1) :])
    return {
        word[-1] for word in bad_words if len(word) == 1 or newest[1 - len(word) :] == word[:-1]
    }

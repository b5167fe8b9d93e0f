"""Follows the output of one sequence through a grammar, back and forth with its drafts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llguidance import LLMatcher

BUDGET_S = 0.5
BUDGET_S_PER_MASK = 0.02
"""Most seconds of computing for all masks of a request: so many, and so many more for each. Nearly
all masks take less than a millisecond. All sequences wait meanwhile, so a grammar that needs more
ends its request."""

_MAX_ERROR_CHARS = 300
_KEPT_MASKS = 256
"""More than the drafts and guesses of a sequence; older masks are hardly asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTokens:
    """How an output may end."""

    eos_token_ids: frozenset[int]
    """May come where the output satisfies the grammar."""
    vocab_size: int
    """Also the id of llguidance's own end token."""


class MaskBudget:
    """The time that the masks of one request may take. Its completions share it."""

    def __init__(self) -> None:
        self._seconds_left = BUDGET_S

    @property
    def is_spent(self) -> bool:
        return self._seconds_left < 0

    def spend(self, seconds: float) -> None:
        """Note the time of one mask."""
        self._seconds_left += BUDGET_S_PER_MASK - seconds


class TextMatcher:
    """Implements `TextGrammar`. Used by one thread at a time.

    The matcher stands behind the newest output that was asked for. It is rolled back where another
    begins differently, so that what it says depends on the output alone.
    """

    def __init__(
        self,
        new_matcher: Callable[[], LLMatcher],
        ends: EndTokens,
        *,
        budget: MaskBudget,
        compile_again: Callable[[], LLMatcher],
    ) -> None:
        """
        Args:
            new_matcher: copies a matcher at the start; copies share memory for what they learn.
            compile_again: makes a matcher that shares none, should the shared memory be full.
        """
        self._matcher = new_matcher()
        self._compile_again = compile_again
        self._ends = ends
        self._ending_bits = sum(1 << token_id for token_id in ends.eos_token_ids)
        self._text_bits = (1 << ends.vocab_size) - 1 & ~self._ending_bits
        self._consumed: list[int] = []
        """The output that the matcher stands behind."""
        self._masks: dict[int, bytes | None] = {}
        """By length of the output before: the tokens that may come; None if it is complete."""
        self._budget = budget
        self._error: str | None = None
        self._error_at: list[int] = []
        """The output behind which the matcher failed. Another one, without a wrong draft, may be
        followed all the same."""

    def error_after(self, output: Sequence[int]) -> str | None:
        """Why nothing may come after an output, in words for the client; None if it may."""
        self._look(list(output))
        return self._error

    def allowed_after(self, output: Sequence[int]) -> bytes | None:
        """The tokens that may come after an output; see `TextGrammar`."""
        mask, _ = self._look(list(output))
        return mask

    def is_complete(self, output: Sequence[int]) -> bool:
        """Whether the output satisfies the grammar and nothing can follow it."""
        mask, is_valid = self._look(list(output))
        return is_valid and mask is None

    def _look(self, output: list[int]) -> tuple[bytes | None, bool]:
        """The mask after an output, and whether the output keeps to the grammar."""
        if self._error is not None:
            if output[: len(self._error_at)] == self._error_at:
                return self._nothing, True
            self._error = None
        size = len(output)
        if size not in self._masks or self._consumed[:size] != output:
            is_valid = self._move_to(output)
            if self._error is not None:
                return self._nothing, True
            if not is_valid:
                return None, False
            self._masks[size] = self._mask()
            if len(self._masks) > _KEPT_MASKS:
                del self._masks[min(set(self._masks) - {size})]
        return self._masks[size], True

    def _move_to(self, output: list[int]) -> bool:
        """Move the matcher behind an output; False if that breaks the grammar."""
        num_common = _num_common(self._consumed, output)
        num_back = len(self._consumed) - num_common
        del self._consumed[num_common:]
        for size in [size for size in self._masks if size > num_common]:
            del self._masks[size]
        if num_back and not self._matcher.rollback(num_back):
            self._start_again()
        rest = output[num_common:]
        num_valid = self._matcher.try_consume_tokens(rest)
        if self._matcher.is_error() and not self._is_dead_end():
            self._start_again()
            num_valid = self._matcher.try_consume_tokens(rest)
        if self._matcher.is_error():
            self._fail(output)
            return True
        self._consumed += rest[:num_valid]
        return num_valid == len(rest)

    def _mask(self) -> bytes | None:
        """The tokens that may come next; None if the output is complete."""
        bits = self._compute()
        if self._matcher.is_error() and not self._is_dead_end():
            self._start_again()
            bits = self._compute()
        if self._matcher.is_error() or self._budget.is_spent:
            self._fail(self._consumed)
            return self._nothing
        may_end = bool(bits >> self._ends.vocab_size & 1)
        bits &= self._text_bits
        if not bits and may_end:
            return None
        return self._packed(bits | (self._ending_bits if may_end else 0))

    def _compute(self) -> int:
        if self._budget.is_spent:
            return 0
        started = time.thread_time()
        bits = int.from_bytes(self._matcher.compute_bitmask(), "little")
        self._budget.spend(time.thread_time() - started)
        return bits

    def _is_dead_end(self) -> bool:
        """Whether the vocabulary has no token for what must come."""
        return self._matcher.get_error().startswith("NoExtensionBias")

    def _start_again(self) -> None:
        """Replace a matcher that failed: behind a draft, or because the memory that it shares with
        others is full."""
        started = time.thread_time()
        self._matcher = self._compile_again()
        self._matcher.consume_tokens(self._consumed)
        self._budget.spend(time.thread_time() - started)

    def _fail(self, output: list[int]) -> None:
        if self._budget.is_spent:
            why = "the grammar or schema is too complex: it takes too long to follow. Simplify it"
        elif self._is_dead_end():
            why = "the grammar or schema allows only texts that this model has no tokens for"
        else:
            reason = self._matcher.get_error().split("\n")[0][:_MAX_ERROR_CHARS]
            why = f"the grammar or schema became too complex: {reason}. Simplify it"
        self._error = f"after {len(output)} tokens {why}"
        self._error_at = list(output)

    @property
    def _nothing(self) -> bytes:
        return self._packed(0)

    def _packed(self, bits: int) -> bytes:
        return bits.to_bytes(-(-self._ends.vocab_size // 8), "little")


def _num_common(text: list[int], other: list[int]) -> int:
    """Number of tokens that both begin with."""
    if other[: len(text)] == text:
        return len(text)
    pairs = enumerate(zip(text, other, strict=False))
    return next((at for at, (one, two) in pairs if one != two), len(other))

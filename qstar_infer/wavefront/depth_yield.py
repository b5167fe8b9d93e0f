"""What a speculation depth yields: speed and rows of a pass, for a sequence that always thinks.

With thoughts of n tokens, a lane takes n + 1 passes and n + 3 rows. With depth d, d + 1 lanes are
in flight. Count passes from 0 after a wrong draft: the i-th token is fed in pass
`t(i) = i % (d + 1) + (n + 1) * (i // (d + 1))` and decided n passes later. If each draft is right
with probability p, the number of tokens until a draft is wrong is geometric, which gives the sums
below (decision 0024).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_LEAST_WRONG = 1e-3


@dataclass(frozen=True, slots=True)
class DepthYield:
    """Means over many passes."""

    depth: int
    tokens_per_pass: float
    rows_per_pass: float


@dataclass(frozen=True, slots=True)
class Deepening:
    """A step from one depth to a greater one."""

    depth: int
    """The depth reached."""
    log_speed: float
    """Growth of the logarithm of tokens per pass."""
    rows: float
    """More rows per pass, more than 0."""

    @property
    def worth(self) -> float:
        """Growth of the logarithm of the speed for each row."""
        return self.log_speed / self.rows


def depth_yield(num_thought_tokens: int, depth: int, agreement: float) -> DepthYield:
    """Tokens and rows per pass.

    Args:
        depth: most drafts fed, at most `num_thought_tokens`.
        agreement: probability that a draft is right, whatever the others are.
    """
    n, d = num_thought_tokens, depth
    wrong = max(1 - agreement, _LEAST_WRONG)
    right = 1 - wrong
    num_lanes = d + 1
    all_right = right**num_lanes
    num_tokens = 1 / wrong  # until a draft is wrong, the corrected token included
    num_rounds = all_right / (1 - all_right)  # of all lanes, before that
    place = right / wrong - num_lanes * num_rounds  # of the wrong lane in its round, from 0
    num_passes = place + (n + 1) * num_rounds + n + 1
    num_dropped_rows = 2 * d - d * (d + 1) / 2 + n * d - (n - d) * place
    num_rows = (n + 3) * num_tokens + num_dropped_rows
    return DepthYield(d, num_tokens / num_passes, num_rows / num_passes)


@lru_cache(maxsize=4096)
def deepenings(num_thought_tokens: int, agreement: float) -> tuple[Deepening, ...]:
    """The steps from depth 0 to greater ones, by their worth, descending.

    Depths that no price of a row makes best are left out: those below the upper hull of the
    logarithm of the speed over rows.
    """
    hull: list[DepthYield] = []
    for depth in range(num_thought_tokens + 1):
        point = depth_yield(num_thought_tokens, depth, agreement)
        while len(hull) > 1 and _deepen(hull[-2], hull[-1]).worth <= _deepen(hull[-1], point).worth:
            hull.pop()
        hull.append(point)
    return tuple(_deepen(old, new) for old, new in pairwise(hull))


def _deepen(old: DepthYield, new: DepthYield) -> Deepening:
    return Deepening(
        new.depth,
        math.log(new.tokens_per_pass / old.tokens_per_pass),
        new.rows_per_pass - old.rows_per_pass,
    )

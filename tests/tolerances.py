"""Tolerances for two float32 computations of the same numbers.

float32 rounds each operation to a relative ROUNDOFF. Kernels of different CPUs, batch shapes and
thread counts add the same terms in different orders, so each addition of a sum rounds differently.
The errors of n additions of numbers up to `size` add up like a random walk: their standard
deviation is below `sqrt(n) * ROUNDOFF * size`. A tolerance here is three such deviations for each
of the two computations.
"""

import math

from torch import Tensor

ROUNDOFF = 2.0**-24


def float32_tolerance(*, num_terms: int, size: float) -> float:
    """The absolute tolerance for two float32 results.

    Args:
        num_terms: additions on the longest path from the inputs to the result.
        size: the largest absolute value on that path.
    """
    return 6 * math.sqrt(num_terms) * ROUNDOFF * size


# The toys of tests/parity/toy.py. A path runs through two layers, each of eight sums (two norms,
# four projections or gates, attention's scores and values) of at most 48 terms, and the output
# embedding's 32: 800 additions. Mixed logits measured on AVX512, AVX2 and without SIMD reach 43 and
# lie up to 2e-5 apart.
TOY_LOGITS = float32_tolerance(num_terms=2 * 8 * 48 + 32, size=43)
"""4.3e-4."""

TOY_LOGPROBS = 2 * TOY_LOGITS
"""A log-probability is a logit less the log of a sum, whose error is at most a logit's."""

TOY_MIXING_WEIGHT = float32_tolerance(num_terms=2 * 8 * 48 + 64 + 32 + 32, size=10)
"""1.1e-4. The talk head adds three layers; its weights measured on the toys stay below 10."""

TOY_GRADIENT = float32_tolerance(num_terms=2 * (2 * 8 * 48 + 32) + 100, size=7)
"""1e-4, relative to the largest number of a gradient: a path forwards and backwards, and a sum over
some 100 positions. What cancels on the way is up to 7 times as large as the gradient."""

NEAR_TIE = 2 * TOY_LOGITS
"""Two logits of a toy that are closer than this may change places."""


def assert_adam_close(
    got: Tensor, want: Tensor, *, learning_rate: float, num_steps: int, name: str
) -> None:
    """Check weights that two runs with other orders of summation reached by Adam.

    Adam divides a gradient by its size, so where a gradient is rounding alone, a step of up to the
    learning rate goes either way. Such weights are few; the others agree to a tenth of a step.
    """
    difference = (got - want).abs()
    assert float(difference.max()) <= 2 * num_steps * learning_rate, name
    assert float((difference > 0.1 * learning_rate).float().mean()) < 0.01, name

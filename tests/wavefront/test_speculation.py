"""How far drafts may run ahead."""

import random
from collections.abc import Callable

import pytest

from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.wavefront.depth_yield import depth_yield
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.speculation import SpeculationDepth

from .sequences import Pool

pytestmark = pytest.mark.learned_depth

Cost = Callable[[float], float]


def cheap(num_rows: float) -> float:
    """Rows are nearly free, as on a CPU with AVX512-BF16."""
    return 12 + 0.25 * num_rows


def dear(num_rows: float) -> float:
    """Rows are bound by arithmetic."""
    return 10 + 6 * num_rows


def bent(num_rows: float) -> float:
    """Free up to 30 rows, then dear."""
    return 20 + max(0, num_rows - 30)


def thinking(num_thought_tokens: int, agreement: float, count: int) -> list[Sequence]:
    """Sequences with a long history of drafts, of which this share was right."""
    found = []
    for _ in range(count):
        seq = Pool().sequence([1], num_thought_tokens=num_thought_tokens)
        seq.agreement.num_kept, seq.agreement.num_compared = 1e6 * agreement, 1e6
        found.append(seq)
    return found


def learned(cost: Cost, sequences: list[Sequence]) -> SpeculationDepth:
    """Steps of all sizes have been measured, in random order, and their depth is decided."""
    speculation, draw = SpeculationDepth(None), random.Random(0)
    for _ in range(5):
        for num_rows in draw.sample(range(1, 700, 7), 100):
            speculation.note_step(num_rows, cost(num_rows) * draw.gauss(1, 0.01))
    speculation.prepare(sequences)
    return speculation


def speed(cost: Cost, n: int, depth: int, agreement: float, count: int) -> float:
    """Tokens per second, by the definition."""
    found = depth_yield(n, depth, agreement)
    return count * found.tokens_per_pass / cost(count * found.rows_per_pass)


@pytest.mark.parametrize(
    ("fixed", "num_thought_tokens", "depth"), [(0, 5, 0), (2, 5, 2), (9, 5, 5), (9, 0, 0)]
)
def test_a_fixed_depth_is_bounded_by_the_thought(
    fixed: int, num_thought_tokens: int, depth: int
) -> None:
    given = SpeculationDepth(fixed)
    sequences = thinking(num_thought_tokens, 0.1, 100)
    given.prepare(sequences)
    assert {given.of(seq) for seq in sequences} == {depth}


def test_at_first_drafts_run_ahead_as_far_as_possible() -> None:
    """Thus the first steps measure all numbers of rows."""
    speculation = SpeculationDepth(None)
    sequences = [Pool().sequence([1], num_thought_tokens=8) for _ in range(4)]
    speculation.prepare(sequences)
    assert {speculation.of(seq) for seq in sequences} == {8}


@pytest.mark.parametrize("count", [1, 4, 16, 64])
@pytest.mark.parametrize("agreement", [0.3, 0.75, 0.96875])
@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("cost", [cheap, dear, bent])
def test_the_depth_is_the_fastest(cost: Cost, n: int, agreement: float, count: int) -> None:
    """Compared with all depths; 2 % are left to noise and 4 % to rounding of what is learned."""
    sequences = thinking(n, agreement, count)
    (depth,) = {learned(cost, sequences).of(seq) for seq in sequences}
    best = max(speed(cost, n, other, agreement, count) for other in range(n + 1))
    assert speed(cost, n, depth, agreement, count) > 0.94 * best


def test_rows_that_are_dear_end_speculation_and_rows_that_are_free_do_not() -> None:
    """Otherwise the test above could pass with one depth for all."""
    sequences = thinking(8, 0.3, 16)
    assert learned(dear, sequences).of(sequences[0]) == 0
    assert learned(lambda _: 20, sequences).of(sequences[0]) == 8


def test_who_guesses_badly_drafts_less() -> None:
    good, bad = thinking(8, 0.97, 8), thinking(8, 0.5, 8)
    speculation = learned(lambda rows: 10 + 0.5 * rows, good + bad)
    assert speculation.of(good[0]) > speculation.of(bad[0]) > 0


def test_sequences_that_do_not_think_are_slowed_down_by_drafts_of_others() -> None:
    (seq,) = thinking(8, 0.9, 1)
    plain = [Pool().sequence([1], num_thought_tokens=0) for _ in range(30)]
    alone = learned(lambda rows: 10 + 0.5 * rows, [seq]).of(seq)
    among = learned(lambda rows: 10 + 0.5 * rows, [seq, *plain]).of(seq)
    assert alone > among


def test_where_a_rule_says_when_to_think_drafts_always_run_ahead() -> None:
    (seq,) = thinking(8, 0.1, 1)
    seq.places = ThinkingPlaces(behind_ids=frozenset({3}))
    assert learned(dear, [seq]).of(seq) == 8


def test_noise_does_not_change_the_depth_and_trials_are_rare() -> None:
    """A trial lasts 8 steps of 256. All other steps have the same depth."""
    sequences, draw = thinking(4, 0.9375, 4), random.Random(1)
    speculation = learned(bent, sequences)
    depths = []
    for _ in range(1024):
        speculation.prepare(sequences)
        depths.append(speculation.of(sequences[0]))
        rows = round(4 * depth_yield(4, depths[-1], 0.9375).rows_per_pass)
        speculation.note_step(rows, bent(rows) * draw.gauss(1, 0.05))
    usual = max(set(depths), key=depths.count)
    assert 0 < sum(depth != usual for depth in depths) <= 4 * 8

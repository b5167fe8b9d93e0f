"""How far drafts may run ahead."""

import pytest

from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.wavefront.speculation import SpeculationDepth


@pytest.mark.parametrize(
    ("speculation", "num_thought_tokens", "depth"),
    [("off", 5, 0), (0, 5, 0), (2, 5, 2), (9, 5, 5), (9, 0, 0)],
)
def test_a_fixed_depth_is_bounded_by_the_thought(
    speculation: Speculation, num_thought_tokens: int, depth: int
) -> None:
    given = SpeculationDepth(EngineConfig(speculation=speculation), 64)
    assert given.of(num_thought_tokens, num_decoding=1) == depth
    assert given.of(num_thought_tokens, num_decoding=100) == depth


@pytest.mark.parametrize(
    ("num_decoding", "depth"), [(0, 8), (1, 8), (2, 8), (8, 5), (16, 1), (20, 0), (64, 0), (200, 0)]
)
def test_auto_depth_keeps_all_sequences_within_the_row_budget(
    num_decoding: int, depth: int
) -> None:
    """A sequence has three rows plus one for each draft; 8 sequences with 5 drafts are 64 rows."""
    auto = SpeculationDepth(EngineConfig(speculation="auto"), 64)
    assert auto.of(8, num_decoding=num_decoding) == depth

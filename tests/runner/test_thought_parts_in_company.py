"""The talk head and the gate give a row the same bits, whichever rows are computed with it."""

import pytest
import torch

from qstar_infer.model.config import TalkHeadConfig
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.runner.decisions import Decisions

HIDDEN = 576


@pytest.fixture
def parts() -> ThoughtParts:
    torch.manual_seed(0)
    parts = ThoughtParts(HIDDEN, talk_head=TalkHeadConfig.standard(HIDDEN), has_gate=True)
    for parameter in parts.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    Decisions(
        parts,
        masked_ids=[],
        num_lanes=2,
        hidden_size=HIDDEN,
        vocab_size=16,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    return parts.eval()


@pytest.mark.parametrize("num_rows", [2, 3, 8, 33])
def test_other_rows_change_no_bit(parts: ThoughtParts, num_rows: int) -> None:
    base, thought = torch.randn(2, num_rows, HIDDEN)
    gate = parts.gate
    assert gate is not None
    with torch.inference_mode():
        weights = parts.talk_head.mixing_weight(base, thought)
        scores = gate.score(base)
        for row in range(num_rows):
            one = slice(row, row + 1)
            assert torch.equal(parts.talk_head.mixing_weight(base[one], thought[one]), weights[one])
            assert torch.equal(gate.score(base[one]), scores[one])


def test_packed_parts_compute_the_same(parts: ThoughtParts) -> None:
    base, thought = torch.randn(2, 5, HIDDEN)
    plain = parts.talk_head.mixing_weight(base, thought)  # outside of inference mode
    with torch.inference_mode():
        packed = parts.talk_head.mixing_weight(base, thought)
    assert torch.allclose(packed, plain, atol=1e-5)

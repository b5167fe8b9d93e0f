"""A model that is written as GGUF is the same model when torch reads it again."""

from pathlib import Path

import pytest
import torch

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.gguf.save import save_gguf
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.runner.llama_cpp.passes import Copy, plan_passes
from qstar_infer.step import END, NO_LANE, START, SequenceRows, StepBatch, ThoughtPick, VisiblePick

from ...parity.toy import make_toy


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [False, True])
def test_torch_reads_the_same_model(architecture: str, tied: bool, tmp_path: Path) -> None:
    model = make_toy(architecture, ties_embeddings=tied).model
    save_gguf(model, tmp_path / "toy", kind="f32")
    loaded = load_model(tmp_path / "toy", dtype="float32", device="cpu")
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    got, wanted = loaded.think(ids), model.think(ids)
    torch.testing.assert_close(got.logits, wanted.logits, rtol=0, atol=1e-5)
    assert loaded.config is not None
    assert model.config is not None
    assert loaded.config.num_thought_tokens == model.config.num_thought_tokens
    assert loaded.vocab_size == model.vocab_size


def test_a_sliding_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sliding window"):
        save_gguf(make_toy("mistral").model, tmp_path / "toy", kind="f32")


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'q3' is unknown"):
        save_gguf(make_toy().model, tmp_path / "toy", kind="q3")


def test_a_lane_shares_the_cells_of_its_sequence() -> None:
    """Three tokens are stored; the fourth is fed and a lane starts at it, while another ends."""
    batch = StepBatch(
        block_size=4,
        sequences=[
            SequenceRows(
                num_rows=4,
                block_table=[0],
                lane_tables=[[1], [2]],
                slot=2,
                lane_slots=[5, 0],
            )
        ],
        token_ids=[9, END, 7, START],
        positions=[4, 5, 3, 4],
        slots=[4, 5, 3, 8],
        context_lens=[3, 3, 4, 4],
        row_lanes=[0, 0, NO_LANE, 1],
        lane_lens=[2, 3, 0, 1],
        base_picks=[VisiblePick(row=2, seed=0, position=4, lane_slot=0)],
        thought_picks=[ThoughtPick(row=3, temperature=0, seed=0, position=4, stream_index=1)],
        target_picks=[VisiblePick(row=1, seed=0, position=3, lane_slot=5)],
    )
    plan = plan_passes(batch, first_lane=10, vector_ids=(100, 101))
    (only,) = plan.passes
    assert only.token_ids == [9, 7, 101, 100]
    assert only.positions == [4, 3, 5, 4]
    assert only.texts == [[15], [2, 10], [15], [10]]
    assert only.num_silent == 1
    assert only.copies == [Copy(source=2, lane=10, end=3)]
    assert plan.starts == {2: 3}
    assert plan.needs_states

"""What the ranks tell each other survives the way, and half a message is no message."""

import io

import pytest

from qstar_infer.runner.tensor_parallel.messages import (
    FOR_FOLLOWER,
    BuildPool,
    Join,
    Load,
    ReleaseMemory,
    Run,
    ToFollower,
    pass_of,
    read_message,
    write_message,
)
from qstar_infer.step import SequenceRows, StepBatch, ThoughtPick, VisiblePick

BATCH = StepBatch(
    block_size=4,
    sequences=[SequenceRows(num_rows=3, block_table=[5, 6], lane_tables=[[9]])],
    token_ids=[7, -1, -2],
    positions=[3, 4, 5],
    slots=[23, 36, 37],
    context_lens=[4, 4, 4],
    row_lanes=[-1, 0, 0],
    lane_lens=[0, 1, 2],
    base_picks=[
        VisiblePick(row=0, seed=8, position=4, history=[1, 2, 3], allowed=b"\xff", top_k=5)
    ],
    thought_picks=[ThoughtPick(row=1, temperature=0.5, seed=8, position=4, stream_index=1)],
    target_picks=[VisiblePick(row=2, seed=8, position=4, lane_slot=3, logit_bias={5: 1.0})],
)
MESSAGES: list[ToFollower] = [
    Join(rank=1, size=2, store="/a/b", device_type="cpu", num_threads=3, log_level=20),
    Load(settings={"model": None, "speculation": 3, "prefix_caching": True}),
    BuildPool(num_blocks=10, block_size=4),
    Run(batch=BATCH),
    ReleaseMemory(),
]


def test_messages_arrive_as_they_were_sent() -> None:
    stream = io.BytesIO()
    for message in MESSAGES:
        write_message(stream, message)
    stream.seek(0)
    for message in MESSAGES:
        encoded = read_message(stream)
        assert encoded is not None
        assert FOR_FOLLOWER.decode(encoded) == message
    assert read_message(stream) is None


@pytest.mark.parametrize("missing", [1, 5, 1000])
def test_a_message_that_is_cut_off_is_the_end(missing: int) -> None:
    """As when rank 0 is killed while it writes."""
    stream = io.BytesIO()
    write_message(stream, Run(batch=BATCH))
    assert read_message(io.BytesIO(stream.getvalue()[:-missing])) is None


def test_a_follower_gets_rows_and_no_texts() -> None:
    """The pass is the same, and what only sampling needs stays at home."""
    sent = pass_of(BATCH).batch
    assert sent.pick_rows == BATCH.pick_rows
    assert (sent.token_ids, sent.slots) == (BATCH.token_ids, BATCH.slots)
    assert sent.base_picks[0].history == []
    assert sent.base_picks[0].allowed is None
    assert BATCH.base_picks[0].history == [1, 2, 3]

"""Replays recorded steps on a new toy model in a separate process. A script, not a test.

    python -m tests.engine.replay_steps STEPS RESULTS

STEPS contains a `Recording`. The list of encoded results is written to RESULTS. Both are msgpack.
"""

import sys
from pathlib import Path

import msgspec

from qstar_infer.runner.torch_runner import TorchRunner
from qstar_infer.step import StepBatch
from tests.parity.toy import make_toy


class Recording(msgspec.Struct, kw_only=True):
    """The steps of a run, and the sizes of their runner."""

    architecture: str
    num_blocks: int
    block_size: int
    num_lanes: int
    batches: list[bytes]


def replay(recording: Recording) -> list[bytes]:
    """Run the steps and return the encoded results."""
    runner = TorchRunner(
        make_toy(recording.architecture).model,
        num_blocks=recording.num_blocks,
        block_size=recording.block_size,
        num_lanes=recording.num_lanes,
    )
    return [
        msgspec.msgpack.encode(runner.run(msgspec.msgpack.decode(batch, type=StepBatch)))
        for batch in recording.batches
    ]


if __name__ == "__main__":
    written, results = map(Path, sys.argv[1:])
    recorded = msgspec.msgpack.decode(written.read_bytes(), type=Recording)
    results.write_bytes(msgspec.msgpack.encode(replay(recorded)))

"""What the ranks tell each other over pipes: msgpack with a length in front, and no pickle.

Rank 0 writes to each follower's standard input, and reads what the follower writes to its standard
output. The end of a follower's input is the order to end.
"""

import dataclasses
import struct
from typing import IO, Any, Literal

import msgspec

from qstar_infer.step import StepBatch, ThoughtPick, VisiblePick

DeviceType = Literal["cpu", "cuda"]

_LENGTH = struct.Struct("<Q")


class Join(msgspec.Struct, tag=True, kw_only=True, frozen=True):
    """The first message to a follower: become a rank of the process group."""

    rank: int
    size: int
    """Number of ranks."""
    store: str
    """The file through which the ranks find each other."""
    device_type: DeviceType
    num_threads: int
    log_level: int


class Load(msgspec.Struct, tag=True, kw_only=True, frozen=True):
    """Load this rank's shard of a model. Replaces an earlier model."""

    settings: dict[str, Any]
    """As `EngineArgs.of` takes them."""


class BuildPool(msgspec.Struct, tag=True, kw_only=True, frozen=True):
    """Allocate this rank's part of the key/value pool."""

    num_blocks: int
    block_size: int


class Run(msgspec.Struct, tag=True, kw_only=True, frozen=True):
    """Compute a pass."""

    batch: StepBatch


class ReleaseMemory(msgspec.Struct, tag=True, frozen=True):
    """Release cached memory."""


class Joining(msgspec.Struct, tag=True, frozen=True):
    """A follower is about to join the process group."""


class LogLine(msgspec.Struct, tag=True, kw_only=True, frozen=True):
    """A record of a follower's log."""

    level: int
    logger: str
    text: str


ToFollower = Join | Load | BuildPool | Run | ReleaseMemory
FromFollower = Joining | LogLine

FOR_FOLLOWER: msgspec.msgpack.Decoder[ToFollower] = msgspec.msgpack.Decoder(ToFollower)
FOR_RANK_0: msgspec.msgpack.Decoder[FromFollower] = msgspec.msgpack.Decoder(FromFollower)


def pass_of(batch: StepBatch) -> Run:
    """The message for a step: followers sample nothing, so that of a pick they need the row."""
    return Run(
        batch=dataclasses.replace(
            batch,
            base_picks=[_row_of(pick) for pick in batch.base_picks],
            thought_picks=[
                ThoughtPick(row=pick.row, temperature=0.0, seed=0, position=0, stream_index=0)
                for pick in batch.thought_picks
            ],
            target_picks=[_row_of(pick) for pick in batch.target_picks],
        )
    )


def write_message(stream: IO[bytes], message: ToFollower | FromFollower) -> None:
    """
    Raises:
        OSError: nobody reads the stream any more.
    """
    encoded = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """The next message, encoded; None if the other side has closed the stream or has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None


def _row_of(pick: VisiblePick) -> VisiblePick:
    return VisiblePick(row=pick.row, seed=0, position=0)

"""Damaged and hostile GGUF files end in one line, soon."""

import random
import struct
from pathlib import Path

import pytest

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.gguf.header import read_header
from qstar_infer.errors import CheckpointError
from tests.checkpoint.gguf.toys import write_toy

_HUGE = 2**62


def _file(
    path: Path, *, tensors: int = 0, keys: int = 0, version: int = 3, rest: bytes = b""
) -> Path:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest)
    return path


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _array(kind: int, count: int) -> bytes:
    return _text(b"k") + struct.pack("<IIQ", 9, kind, count)


_TENSOR = _text(b"t") + struct.pack("<IQIQ", 1, 4, 0, 0)

HOSTILE = {
    "keys without end": {"keys": _HUGE},
    "tensors without end": {"tensors": _HUGE},
    "many keys": {"keys": 10**6, "rest": bytes(100)},
    "numbers without end": {"keys": 1, "rest": _array(0, _HUGE)},
    "strings without end": {"keys": 1, "rest": _array(8, _HUGE)},
    "a nested array": {"keys": 1, "rest": _array(9, 1)},
    "an unknown type": {"keys": 1, "rest": _text(b"k") + struct.pack("<I", 77)},
    "an unknown type in an array": {"keys": 1, "rest": _array(77, 1)},
    "a long string": {"keys": 1, "rest": struct.pack("<Q", _HUGE)},
    "a name that is not text": {"keys": 1, "rest": _text(b"\xff\xfe") + bytes(40)},
    "a key twice": {"keys": 2, "rest": 2 * (_text(b"k") + struct.pack("<IB", 0, 1))},
    "an alignment of 3": {
        "keys": 1,
        "rest": _text(b"general.alignment") + struct.pack("<II", 4, 3),
    },
    "no dimensions": {"tensors": 1, "rest": _text(b"t") + struct.pack("<IIQ", 0, 0, 0)},
    "many dimensions": {"tensors": 1, "rest": _text(b"t") + struct.pack("<I", 2**31)},
    "an endless tensor": {
        "tensors": 1,
        "rest": _text(b"t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0) + bytes(64),
    },
    "a tensor that is not there": {"tensors": 1, "rest": _TENSOR},
    "a tensor twice": {"tensors": 2, "rest": 2 * _TENSOR + bytes(256)},
    "a tensor within another": {
        "tensors": 2,
        "rest": _TENSOR + _TENSOR.replace(b"t", b"u") + bytes(256),
    },
    "an empty tensor": {
        "tensors": 1,
        "rest": _text(b"t") + struct.pack("<IQIQ", 1, 0, 0, 0) + bytes(64),
    },
    "half a block": {
        "tensors": 1,
        "rest": _text(b"t") + struct.pack("<IQIQ", 1, 16, 8, 0) + bytes(64),
    },
    "an unknown quantisation": {
        "tensors": 1,
        "rest": _text(b"t") + struct.pack("<IQIQ", 1, 32, 999, 0) + bytes(64),
    },
    "a key that drives a terminal": {
        "keys": 1,
        "rest": _text(b"\x1b[2J\n") + struct.pack("<IB", 0, 1),
    },
    "version 1": {"version": 1},
    "big-endian": {"version": 3 << 24},
    "nothing": {},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header(name: str, tmp_path: Path) -> None:
    path = _file(tmp_path / "x.gguf", **HOSTILE[name])  # type: ignore[arg-type]  # mixed values
    with pytest.raises(CheckpointError) as raised:
        load_model(path)
    assert str(raised.value).isprintable()
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF", b"GGUF\x03\x00"])
def test_short_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_model(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf")
    content = path.read_bytes()
    for length in random.Random(0).sample(range(len(content) - 32), 200):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_header(path)


def test_flipped_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    """A header with a wrong byte is refused, or read as what it says now."""
    path = write_toy(tmp_path / "toy.gguf")
    content = path.read_bytes()
    header_length = min(tensor.start for tensor in read_header(path).tensors.values())
    chance, refused = random.Random(0), 0
    for _ in range(150):
        changed = bytearray(content)
        changed[chance.randrange(header_length)] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            load_model(path, dtype="float32", device="cpu")
        except CheckpointError as error:
            refused += str(error).isprintable()
    assert refused > 20

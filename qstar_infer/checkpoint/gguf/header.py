"""Reads the header of a GGUF file: its keys, and where its tensors are. Never reads a weight.

The file may be damaged or hostile: each count and length is checked against the bytes that are
left, so reading ends after at most one pass over the file.
"""

import math
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from qstar_infer.errors import CheckpointError

Value = int | float | bool | str | list[int] | list[float] | list[bool] | list[str]
"""A key's value."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
"""Type id in the file -> its `struct` code."""
_ALIGNMENT_KEY = "general.alignment"
_DEFAULT_ALIGNMENT = 32
_MAX_DIMS = 4
_SMALLEST_KEY, _SMALLEST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8
"""Bytes of an entry with an empty name."""
_SHARD_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_FETCH = "Fetch the file again."


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor of the file, as its header describes it."""

    name: str
    shape: tuple[int, ...]
    """In torch's order: the last dimension is contiguous."""
    type: GGMLQuantizationType
    start: int
    """First byte, from the beginning of the file."""
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What the header of a GGUF file says."""

    path: Path
    keys: dict[str, Value]
    tensors: dict[str, GgufTensor]

    @property
    def architecture(self) -> str:
        """`general.architecture`; "" if the file has none."""
        value = self.keys.get("general.architecture", "")
        return value if isinstance(value, str) else ""


def read_header(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises:
        CheckpointError: not GGUF, of an unknown version, truncated, damaged, or one of several
            shards.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
            if magic != _MAGIC:
                raise CheckpointError(
                    f"{path} is not a GGUF file: it begins with {magic!r}, not {_MAGIC!r}. "
                    "Fetch it again."
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Reader(path, content).read()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


class _Reader:
    """A position in the file; each method reads one thing and moves on."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.path = path
        self.content = content
        self.position = len(_MAGIC)

    def read(self) -> GgufHeader:
        self._check_version()
        num_tensors, num_keys = self._integer("Q"), self._integer("Q")
        self._check_count(num_keys, _SMALLEST_KEY, "keys")
        keys: dict[str, Value] = {}
        for _ in range(num_keys):
            name = self._string()
            if name in keys:
                self._damaged(f"holds the key {name} twice")
            keys[name] = self._value(self._integer("I"), name)
        _check_whole(self.path, keys)
        self._check_count(num_tensors, _SMALLEST_TENSOR, "tensors")
        entries = [self._tensor() for _ in range(num_tensors)]
        return GgufHeader(path=self.path, keys=keys, tensors=self._placed(entries, keys))

    def _check_version(self) -> None:
        version = self._integer("I")
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            what = "is big-endian" if swapped in _VERSIONS else f"has GGUF version {version}"
            raise CheckpointError(
                f"{self.path} {what}; only little-endian files of version 2 or 3 can be read. "
                "Convert the original model again."
            )

    def _scalar(self, code: str) -> int | float | bool:
        (value,) = struct.unpack(f"<{code}", self._bytes(struct.calcsize(f"<{code}")))
        return value  # type: ignore[no-any-return]  # struct is untyped

    def _integer(self, code: str) -> int:
        return int(self._scalar(code))

    def _bytes(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.content):
            self._damaged(f"ends after {len(self.content)} bytes, within its header")
        taken = self.content[self.position : end]
        self.position = end
        return taken

    def _string(self) -> str:
        text = self._bytes(self._integer("Q"))
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            self._damaged(f"holds text that is not UTF-8, {text[:40]!r}")

    def _value(self, kind: int, name: str) -> Value:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            self._damaged(f"holds the key {name} with a value of the unknown type {kind}")
        return self._array(self._integer("I"), self._integer("Q"), name)

    def _array(self, kind: int, count: int, name: str) -> Value:
        if kind == _STRING:
            self._check_count(count, 8, f"strings of {name}")
            return [self._string() for _ in range(count)]
        if kind not in _SCALARS:
            self._damaged(f"holds the key {name} with an array of the unsupported type {kind}")
        code = np.dtype(f"<{_SCALARS[kind]}")
        self._check_count(count, code.itemsize, f"values of {name}")
        values: Value = np.frombuffer(self._bytes(count * code.itemsize), code).tolist()
        return values

    def _tensor(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        """Name, shape, type, and offset from the beginning of the data."""
        name = self._string()
        num_dims = self._integer("I")
        if not 1 <= num_dims <= _MAX_DIMS:
            self._damaged(f"holds the tensor {name} with {num_dims} dimensions")
        shape = tuple(self._integer("Q") for _ in range(num_dims))[::-1]
        kind, offset = self._integer("I"), self._integer("Q")
        try:
            return name, shape, GGMLQuantizationType(kind), offset
        except ValueError:
            raise CheckpointError(
                f"{name} in {self.path} has the quantisation type {kind}, which the installed "
                "gguf package does not know. Install a newer one, or use another quantisation of "
                "this model."
            ) from None

    def _placed(
        self,
        entries: list[tuple[str, tuple[int, ...], GGMLQuantizationType, int]],
        keys: dict[str, Value],
    ) -> dict[str, GgufTensor]:
        """The tensors with their places. As llama.cpp, demands that each follows the last."""
        alignment = keys.get(_ALIGNMENT_KEY, _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            self._damaged(f"has {_ALIGNMENT_KEY} = {alignment!r}, which is not a power of 2")
        data_start, expected = _aligned(self.position, alignment), 0
        tensors: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in entries:
            if name in tensors:
                self._damaged(f"holds the tensor {name} twice")
            if offset != expected:
                self._damaged(f"places the tensor {name} at byte {offset}, not {expected}")
            num_bytes = self._num_bytes(name, shape, kind)
            start = data_start + offset
            if start + num_bytes > len(self.content):
                self._damaged(
                    f"ends after {len(self.content)} bytes, before the end of the tensor {name}"
                )
            tensors[name] = GgufTensor(
                name=name, shape=shape, type=kind, start=start, num_bytes=num_bytes
            )
            expected = _aligned(offset + num_bytes, alignment)
        return tensors

    def _num_bytes(self, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            self._damaged(
                f"holds the tensor {name} with shape {list(shape)}, which the blocks of type "
                f"{kind.name} do not divide"
            )
        return math.prod(shape) // block * block_bytes

    def _check_count(self, count: int, each: int, what: str) -> None:
        left = len(self.content) - self.position
        if count * each > left:
            self._damaged(f"announces {count} {what}, more than its {left} remaining bytes hold")

    def _damaged(self, how: str) -> NoReturn:
        raise CheckpointError(
            f"{self.path} is damaged or its download is not complete: it {how}. {_FETCH}"
        )


def _aligned(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


def _check_whole(path: Path, keys: dict[str, Value]) -> None:
    """Check that the file is not one of several shards."""
    named = _SHARD_NAME.search(path.name)
    count = keys.get("split.count", 0)
    if named is not None and not count:
        count = int(named[2])
    if isinstance(count, int) and count > 1:
        raise CheckpointError(
            f"{path} is one of {count} shards of a model, and a shard alone lacks the others' "
            "tensors. Fetch all of them and join them with "
            "`llama-gguf-split --merge FIRST_SHARD OUT.gguf`, then load OUT.gguf."
        )

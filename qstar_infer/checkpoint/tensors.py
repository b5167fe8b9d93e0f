"""Lists, reads and writes the tensors of safetensors files."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.errors import CheckpointError

FLOAT_DTYPES = ("F64", "F32", "F16", "BF16")
"""The usual floating dtypes, as safetensors spells them."""
INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
_HEADER_ONLY = "np"
"""The framework that a file is opened for if no tensor is read. With "pt", the system must be able
to give as much memory as the file is long."""
_SHARD_NAME = re.compile(r"model-\d+-of-\d+\.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """What the header of a safetensors file says about a tensor."""

    file: Path
    name: str
    """In the file."""
    dtype: str
    """As safetensors spells it: "F32", "BF16", "I8", ..."""
    shape: tuple[int, ...]


def tensor_headers(files: dict[str, Path]) -> dict[str, TensorHeader]:
    """Name -> header, without reading any weight.

    Args:
        files: name -> file, as `backbone_tensor_files` gives it.

    Raises:
        CheckpointError: a file is missing, truncated or not safetensors.
    """
    headers: dict[str, TensorHeader] = {}
    for path in sorted(set(files.values())):
        with _opened(path, framework=_HEADER_ONLY) as file:
            for name in (name for name, where in files.items() if where == path):
                part = file.get_slice(name)  # type: ignore[no-untyped-call]
                headers[name] = TensorHeader(
                    file=path,
                    name=name,
                    dtype=str(part.get_dtype()),
                    shape=tuple(part.get_shape()),
                )
    return headers


def headers_of(path: Path) -> dict[str, TensorHeader]:
    """Name -> header of each tensor in one safetensors file.

    Raises:
        CheckpointError: the file is missing, truncated or not safetensors.
    """
    return tensor_headers(dict.fromkeys(tensor_names(path), path))


def check_float_headers(headers: dict[str, TensorHeader], where: Path) -> None:
    """Check that tensors are stored in a usual floating dtype.

    Raises:
        CheckpointError: one is not; it is named.
    """
    unfit = {
        name: f"has dtype {header.dtype}, which holds no plain weights"
        for name, header in headers.items()
        if header.dtype not in FLOAT_DTYPES
    }
    judge(Inventory(where=str(where), kind="tensor", unfit=unfit))


def tensor_names(path: Path) -> list[str]:
    """The names in one safetensors file. Also checks that it is not truncated.

    Raises:
        CheckpointError: the file is missing, truncated or not safetensors.
    """
    with _opened(path, framework=_HEADER_ONLY) as file:
        return _names(file)


def read_tensor(header: TensorHeader) -> Tensor:
    """The value of one tensor, on the CPU, in its stored dtype.

    Raises:
        CheckpointError: the file is missing, truncated or not safetensors.
    """
    return read_tensors(header.file, [header.name])[header.name]


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Tensors of one safetensors file, on the CPU, in their stored dtype.

    Args:
        path: the file.
        names: which; None for all.

    Raises:
        CheckpointError: the file is missing, truncated or not safetensors.
    """
    with _opened(path) as file:
        wanted = _names(file) if names is None else list(names)
        tensors: dict[str, Tensor] = {}
        for name in wanted:
            tensors[name] = file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensors


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file that transformers also accepts."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, path, metadata={"format": "pt"})


def backbone_tensor_files(directory: Path) -> dict[str, Path]:
    """Name -> file of every tensor of `model.safetensors`, or of the shards in its index.

    Opens each file, so that a missing or truncated shard is found before the long load.

    Raises:
        CheckpointError: no weights, a missing or truncated shard, an index that disagrees with
            its shards, or both a single file and shards.
    """
    single = directory / SINGLE_NAME
    shards = sorted(p.name for p in directory.iterdir() if _SHARD_NAME.fullmatch(p.name))
    if single.exists():
        others = [name for name in (INDEX_NAME, *shards) if (directory / name).exists()]
        if others:
            raise CheckpointError(
                f"{directory} states its weights twice: in {SINGLE_NAME} and in {_listed(others)}. "
                "They may differ, and only one is read: delete the files that are not meant."
            )
        return dict.fromkeys(tensor_names(single), single)
    if not (directory / INDEX_NAME).exists():
        raise CheckpointError(
            f"{directory} has no weights: neither {SINGLE_NAME} nor {INDEX_NAME} is there. "
            "Fetch or save the checkpoint again."
        )
    return _indexed(directory)


def check_finite(tensors: dict[str, Tensor], where: Path) -> None:
    """Check that no value is NaN or infinite.

    Raises:
        CheckpointError: one is; the message names the first such tensor.
    """
    for name, tensor in tensors.items():
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise CheckpointError(
                f"{name} in {where} has {bad} of {tensor.numel()} values that are NaN or infinite. "
                "The checkpoint is damaged or its training diverged: use an earlier one."
            )


def _indexed(directory: Path) -> dict[str, Path]:
    index = directory / INDEX_NAME
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise CheckpointError(
            f"{index} has no 'weight_map' from tensor names to shard files. "
            "Fetch or save the checkpoint again."
        )
    held = {shard: _shard_names(directory, shard) for shard in sorted(set(weight_map.values()))}
    _check_index(index, weight_map, held)
    unnamed = {p.name for p in directory.iterdir() if _SHARD_NAME.fullmatch(p.name)} - set(held)
    if unnamed:
        raise CheckpointError(
            f"{directory} holds {_listed(sorted(unnamed))}, which {INDEX_NAME} does not name, so "
            "its weights would be left out. The files belong to different checkpoints, or the "
            "index is incomplete: fetch or save the checkpoint again."
        )
    return {name: directory / shard for name, shard in weight_map.items()}


def _check_index(index: Path, weight_map: dict[str, str], held: dict[str, set[str]]) -> None:
    """Check that each tensor of the shards is named once, and named where it is."""
    for name, shard in weight_map.items():
        if name not in held[shard]:
            raise CheckpointError(
                f"{index} says that {shard} holds {name}, but it does not. "
                "The shards are of different checkpoints: fetch or save the checkpoint again."
            )
    for shard, names in held.items():
        for name in sorted(names):
            if weight_map.get(name) != shard:
                there = f"names {weight_map[name]}" if name in weight_map else "names no file"
                raise CheckpointError(
                    f"{shard} holds {name}, for which {index} {there}. "
                    "The shards are of different checkpoints: fetch or save the checkpoint again."
                )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shard_names(directory: Path, shard: str) -> set[str]:
    # The name comes from the checkpoint and must not point outside its directory.
    if Path(shard).name != shard or not shard.endswith(".safetensors"):
        raise CheckpointError(
            f"{directory / INDEX_NAME} names the shard {shard!r}; a shard is a .safetensors file "
            "in the same directory. Fetch or save the checkpoint again."
        )
    if not (directory / shard).exists():
        raise CheckpointError(
            f"{directory} lacks the shard {shard} that {INDEX_NAME} names. "
            "The download or copy is incomplete: fetch that file."
        )
    return set(tensor_names(directory / shard))


def _names(file: safe_open) -> list[str]:
    return list(file.keys())  # type: ignore[no-untyped-call]


@contextmanager
def _opened(path: Path, *, framework: str = "pt") -> Iterator[safe_open]:
    try:
        with safe_open(path, framework=framework, device="cpu") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist. The checkpoint is incomplete: fetch or save it again."
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error}). "
            f"It has {path.stat().st_size} bytes: fetch or save it again."
        ) from error

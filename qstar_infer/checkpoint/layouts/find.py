"""Recognises the layout of a checkpoint, without reading its weights."""

from pathlib import Path
from typing import Protocol

from qstar_infer.checkpoint.layouts import gated, mix_head, mixer_head, reference
from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.checkpoint.layouts.layout import OwnNames, ThoughtLayout
from qstar_infer.checkpoint.layouts.ponderlm import check_not_ponderlm


class Layout(Protocol):
    """What the module of a layout offers."""

    def own_names(self, files: CheckpointFiles) -> OwnNames | None:
        """The names that are not the backbone's; None if the checkpoint has another layout."""

    def describe(self, files: CheckpointFiles, own: OwnNames) -> ThoughtLayout:
        """How the checkpoint thinks.

        Raises:
            CheckpointError: it cannot think here; the message says what it is and why.
        """


# A layout before another whose signs it may carry too.
_LAYOUTS: tuple[Layout, ...] = (gated, mixer_head, mix_head, reference)


def describe_layout(directory: Path) -> ThoughtLayout | None:
    """How a checkpoint of another code base thinks; None if it is of none of them.

    Args:
        directory: holds a `config.json` and safetensors.

    Raises:
        CheckpointError: a file is malformed, or the checkpoint cannot think here.
    """
    files = CheckpointFiles.read(directory)
    check_not_ponderlm(files)
    for layout in _LAYOUTS:
        own = layout.own_names(files)
        if own is not None:
            return layout.describe(files, own)
    return None


def own_names(directory: Path) -> OwnNames | None:
    """The names in a checkpoint that are its layout's; None if it is of none of them.

    Raises:
        CheckpointError: a file is malformed, or the backbone is no language model on its own.
    """
    files = CheckpointFiles.read(directory)
    check_not_ponderlm(files)
    found = (layout.own_names(files) for layout in _LAYOUTS)
    return next((own for own in found if own is not None), None)

"""Refuses PonderLM-2 (`LUMIA-Group/PonderLM-2`), which is another method."""

from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.errors import CheckpointError

_SIGN = "num_latent_thoughts"


def check_not_ponderlm(files: CheckpointFiles) -> None:
    """Check that a checkpoint is not of this method.

    Raises:
        CheckpointError: it is. Its weights are trained with the latent steps, so without them it
            would not be the model either.
    """
    if _SIGN in files.config:
        raise CheckpointError(
            f"{files.config_path} has {_SIGN} = {files.config[_SIGN]!r}: this is a PonderLM-2 "
            "checkpoint. It feeds hidden states back as latent steps before each token and keeps "
            "them in the cache, which is another method than Quiet-STaR, and its weights are not "
            "trained to work without these steps. Use the code of its authors."
        )

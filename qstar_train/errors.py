"""The error of training, in addition to those of `qstar_infer.errors`."""

from qstar_infer.errors import QStarError


class TrainingError(QStarError):
    """A run cannot continue: a loss is not finite, or another process failed."""

"""The error that training adds to those of `qstar_infer.errors`."""

from qstar_infer.errors import QStarError


class TrainingError(QStarError):
    """A run cannot go on: its numbers are not finite any more, or another process has failed."""

"""What goes wrong in a lab."""

from qstar_infer.errors import QStarError


class LabError(QStarError):
    """A stage failed, or its result does not allow the next one."""

"""Stub until the command line's branch is merged."""

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_defaults import SamplingDefaults


def generation_defaults(model: QuietStarModel) -> SamplingDefaults:
    """Stub."""
    del model
    return SamplingDefaults()

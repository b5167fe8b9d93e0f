"""Store the start and end vectors divided by a scale (the paper's code: `embedding_scale`)."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

from qstar_infer.model.thought_parts import ThoughtParts

VECTORS = ("start_thought", "end_thought")


class _Scaled(nn.Module):
    """A parametrisation: the tensor is `scale` times the stored parameter."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    def forward(self, stored: Tensor) -> Tensor:
        return stored * self._scale

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / self._scale


def scale_vectors(parts: ThoughtParts, scale: float) -> None:
    """Learn `vector / scale` instead of the vector: steps become `scale` times larger.

    The vectors that the model is fed do not change. `unscale_vectors` undoes it.
    """
    for name in VECTORS:
        parametrize.register_parametrization(parts, name, _Scaled(scale))


def unscale_vectors(parts: ThoughtParts) -> None:
    """Make the vectors plain parameters again, with the value that the model is fed."""
    for name in VECTORS:
        if parametrize.is_parametrized(parts, name):
            parametrize.remove_parametrizations(parts, name, leave_parametrized=True)

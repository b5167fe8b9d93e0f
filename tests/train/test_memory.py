"""What a step keeps for its gradients grows with the sequence, not with its square."""

import torch
from torch import Tensor

from qstar_train.config import ObjectiveConfig
from qstar_train.objective.objective import evaluate_objective
from qstar_train.sampling import sampled_thoughts

from ..parity.toy import make_toy


def test_twice_the_sequence_keeps_twice_the_memory() -> None:
    """Masks were kept: a fifth of it all at 1,024 tokens, and ever more beyond."""
    short, long = kept_bytes(512), kept_bytes(1024)
    assert short.keys() == long.keys()
    assert sum(long.values()) < 2.02 * sum(short.values())
    assert long.get(torch.bool, 0) < 1e6


def kept_bytes(seq: int) -> dict[torch.dtype, int]:
    """Bytes that the objective's graph holds, by dtype."""
    model = make_toy(num_thought_tokens=2).model.requires_grad_(True)
    input_ids = torch.randint(0, 256, (1, seq), generator=torch.Generator().manual_seed(0))
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        evaluate_objective(
            model,
            input_ids,
            torch.ones_like(input_ids),
            ObjectiveConfig(num_talk_tokens=2, num_passes=1),
            pick=sampled_thoughts(torch.arange(1), temperature=1.0),
        )
    found: dict[torch.dtype, int] = {}
    for tensor in kept.values():
        size = tensor.untyped_storage().nbytes()
        found[tensor.dtype] = found.get(tensor.dtype, 0) + size
    return found

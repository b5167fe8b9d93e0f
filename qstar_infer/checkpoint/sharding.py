"""Shards a model over the ranks of tensor parallelism, by the plan of transformers.

The plan of an architecture says how the ranks share each weight. transformers adds to the modules
what the ranks exchange, so that every rank calls a module with the same input and gets the whole
output.
"""

from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.distributed.configuration_utils import DistributedConfig

from qstar_infer.checkpoint.architecture import embedding_table


def shard(backbone: PreTrainedModel, num_ranks: int) -> PreTrainedModel:
    """Keep of a loaded model what this rank computes. Every rank of the process group calls it.

    Args:
        backbone: changed in place.
        num_ranks: all ranks of the process group.
    """
    config, _, mesh = backbone.prepare_distribute_model(DistributedConfig(tp_size=num_ranks))
    head: Any = backbone.get_output_embeddings()  # type: ignore[no-untyped-call]
    is_tied = head is not None and head.weight is embedding_table(backbone)
    if is_tied:  # transformers finds a weight by the name of its module, and a tied one has one
        head.weight = nn.Parameter(head.weight.detach(), requires_grad=False)
    sharded: PreTrainedModel = backbone.maybe_distribute_model(backbone, config, mesh)
    if is_tied:
        sharded.tie_weights()
    return sharded


def local_part(weight: Tensor) -> Tensor:
    """What this rank holds of a weight: all of it, if it is not sharded."""
    return weight.to_local() if isinstance(weight, DTensor) else weight

"""A process that trains a toy under FSDP2 on gloo; `test_distributed` starts two.

Accelerate shards only on accelerators, so the module is wrapped here as Accelerate would wrap it.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.trainer.model_setup import model_to_train
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.schedule import parameter_groups
from qstar_train.trainer.state import load_state, save_state


def batch(step: int) -> tuple[Tensor, Tensor]:
    """Four windows of random tokens, the same for every process."""
    generator = torch.Generator().manual_seed(step)
    return torch.randint(0, 256, (4, 16), generator=generator), torch.arange(4) + 4 * step


def train_steps(
    settings: TrainConfig, states: Path, *, rank: int, world: int, resume: bool
) -> None:
    """Steps 0 and 1, or, resumed from the state between them, only step 1."""
    module = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
    if world > 1:
        mesh = init_device_mesh("cpu", (world,))
        layers = module.model.backbone.base_model.layers
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(module, mesh=mesh)
    optimizer = torch.optim.AdamW(parameter_groups(module, settings.optimizer))
    first = load_state(states / "step-000001", module, optimizer) if resume else 0
    for step in range(first, 2):
        ids, indices = (tensor[rank::world] for tensor in batch(step))
        module(ids, indices, settings.seed)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        save_state(states, step + 1, module, optimizer, is_main=rank == 0)


def main() -> None:
    """`sharded_worker.py CONFIG STATES`, under torchrun."""
    dist.init_process_group("gloo")
    settings = load_config(TrainConfig, Path(sys.argv[1]))
    states = Path(sys.argv[2])
    rank, world = dist.get_rank(), dist.get_world_size()
    train_steps(settings, states, rank=rank, world=world, resume=False)
    dist.barrier()  # the main process has written the state that both resume from
    train_steps(settings, states, rank=rank, world=world, resume=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

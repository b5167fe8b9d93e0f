"""Chooses the runner of a model."""

import torch

from qstar_infer.config import EngineConfig
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.llama_cpp.limits import fitting_config
from qstar_infer.runner.llama_cpp.llama_cpp_runner import LlamaCppRunner
from qstar_infer.runner.llama_cpp.model import LlamaCppModel
from qstar_infer.runner.runner import Runner
from qstar_infer.runner.tensor_parallel.ranks import Ranks
from qstar_infer.runner.tensor_parallel.tensor_parallel_runner import TensorParallelRunner
from qstar_infer.runner.torch_runner import TorchRunner

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

AnyModel = QuietStarModel | LlamaCppModel
"""A model that an engine can serve."""


def runner_config(model: AnyModel, config: EngineConfig) -> EngineConfig:
    """The limits of an engine, as far as the model's runner can keep them.

    Raises:
        ConfigError: it cannot.
    """
    return fitting_config(config) if isinstance(model, LlamaCppModel) else config


def build_runner(
    model: AnyModel,
    config: EngineConfig,
    *,
    num_blocks: int,
    num_lanes: int,
    ranks: Ranks | None = None,
) -> Runner:
    """The runner of a model.

    Args:
        config: from `runner_config`.
        num_blocks: of the key/value pool.
        num_lanes: number of slots of the lane buffers.
        ranks: those that have loaded the model, if it is sharded.

    Raises:
        ConfigError: the dtype of the model is not one that engines compute in.
    """
    if model.dtype not in _DTYPES:
        raise ConfigError(
            f"the model's weights are {model.dtype}, and engines compute in float32, bfloat16 or "
            "float16; cast it first, for example by model.float()"
        )
    if isinstance(model, LlamaCppModel):
        return LlamaCppRunner(model, config, num_blocks=num_blocks, num_lanes=num_lanes)
    block_size = config.block_size
    runner = TorchRunner(model, num_blocks=num_blocks, block_size=block_size, num_lanes=num_lanes)
    if ranks is None:
        return runner
    return TensorParallelRunner(runner, ranks, num_blocks=num_blocks, block_size=block_size)

"""Derives the size of the KV pool from model and machine."""

import psutil
import torch

from qstar_infer.config import EngineConfig
from qstar_infer.decoder.build import largest_dtype
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.served_model import ServedModel
from qstar_infer.wavefront.lane import num_lane_slots

_CPU_SHARE = 0.1
_GPU_SHARE = 0.85
"""Share of the free memory, after loading the weights, that the KV pool may use. The rest is for
activations and logits and, on a CPU, for other processes."""

_CPU_PREFILL_ROWS = 64


def prefill_rows(model: ServedModel, config: EngineConfig) -> int:
    """Most rows of prefill in a step while others decode; see `EngineConfig.max_prefill_rows`."""
    if config.max_prefill_rows is not None:
        return config.max_prefill_rows
    return _CPU_PREFILL_ROWS if model.device.type == "cpu" else config.max_rows


def num_pool_blocks(model: ServedModel, config: EngineConfig, *, max_model_len: int) -> int:
    """Number of blocks in the pool: the setting, or as many as fit in memory and can be used.

    Raises:
        ConfigError: the pool is too small for a single token and its thought.
    """
    per_sequence = -(-max_model_len // config.block_size)
    per_lane = -(-num_lane_slots(model.num_thought_tokens) // config.block_size)
    if config.num_blocks is not None:
        num_blocks = config.num_blocks
    else:
        most = config.max_num_seqs * (per_sequence + per_lane * (model.num_thought_tokens + 1))
        num_blocks = min(most, _free_bytes(model) // (bytes_per_slot(model) * config.block_size))
    if num_blocks < 1 + per_lane:
        what = "token and its thought need" if per_lane else "token needs"
        raise ConfigError(
            f"the key/value pool has {num_blocks} blocks of {config.block_size} slots; a single "
            f"{what} {1 + per_lane}. Free memory or raise num_blocks"
        )
    return num_blocks


def bytes_per_slot(model: ServedModel) -> int:
    """Most bytes of one token's keys and values in all layers."""
    numbers = sum(
        shape.num_kv_heads * (shape.key_dim + shape.value_dim) for shape in model.layer_shapes
    )
    dtype = largest_dtype(model) if isinstance(model, QuietStarModel) else model.dtype
    return numbers * torch.finfo(dtype).bits // 8


def _free_bytes(model: ServedModel) -> int:
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # or memory that an earlier engine has freed would not count
        free, _ = torch.cuda.mem_get_info(model.device)
        return int(free * _GPU_SHARE)
    return int(psutil.virtual_memory().available * _CPU_SHARE)

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
        affordable = int(_free_bytes(model) * _pool_share(model))
        num_blocks = min(most, affordable // (bytes_per_slot(model) * config.block_size))
    if num_blocks < 1 + per_lane:
        what = "token and its thought need" if per_lane else "token needs"
        raise ConfigError(
            f"the key/value pool has {num_blocks} blocks of {config.block_size} slots; a single "
            f"{what} {1 + per_lane}. Free memory or raise num_blocks"
        )
    return num_blocks


def check_memory(model: ServedModel, config: EngineConfig, *, num_blocks: int) -> None:
    """Check that the settings do not ask for more memory than is free.

    Without it, the system might end the process, or others, as soon as the memory is used.

    Raises:
        ConfigError: the pool and the lane buffers are larger than the free memory.
    """
    pool = num_blocks * config.block_size * bytes_per_slot(model)
    lanes = config.num_lanes * model.vocab_size * _dtype(model).itemsize if model.can_think else 0
    free = _free_bytes(model)
    if pool + lanes > free:
        raise ConfigError(
            f"the key/value pool of {num_blocks} blocks of {config.block_size} slots needs "
            f"{pool / 2**30:.1f} GiB, and the logits of {config.num_lanes} lanes need "
            f"{lanes / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free. Lower num_blocks, or "
            "max_num_seqs, max_drafts and scoring_positions, whose sum is the number of lanes"
        )


def bytes_per_slot(model: ServedModel) -> int:
    """Most bytes of one token's keys and values in all layers."""
    numbers = sum(
        shape.num_kv_heads * (shape.key_dim + shape.value_dim) for shape in model.layer_shapes
    )
    return numbers * _dtype(model).itemsize


def _dtype(model: ServedModel) -> torch.dtype:
    """The largest dtype that keys, values and logits may have."""
    return largest_dtype(model) if isinstance(model, QuietStarModel) else model.dtype


def _pool_share(model: ServedModel) -> float:
    return _GPU_SHARE if model.device.type == "cuda" else _CPU_SHARE


def _free_bytes(model: ServedModel) -> int:
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # or memory that an earlier engine has freed would not count
        return torch.cuda.mem_get_info(model.device)[0]
    return int(psutil.virtual_memory().available)

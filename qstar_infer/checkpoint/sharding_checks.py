"""Refuses what tensor parallelism is not for, before a process is started or a weight is read."""

import sys

import torch
from transformers import PreTrainedConfig

from qstar_infer.checkpoint.backbone import read_config
from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.gguf.file import read_gguf
from qstar_infer.checkpoint.layouts.find import own_names
from qstar_infer.checkpoint.load_source import find_base
from qstar_infer.checkpoint.source import Source, SourceKind, find_source
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError


def check_can_shard(args: EngineArgs) -> None:
    """Check that the model and the machine of these settings allow their `tensor_parallel_size`.

    Fetches a hub repository, and builds the default model, so that the ranks find them.

    Raises:
        CheckpointError: the checkpoint is missing or malformed.
        ConfigError: they do not.
    """
    _check_settings(args)
    _check_device(args.device, args.tensor_parallel_size)
    source = default_model_directory() if args.model is None else args.model
    found = find_source(source, revision=args.revision)
    _check_config(_config_of(found), args.tensor_parallel_size)


def _check_settings(args: EngineArgs) -> None:
    asked = f"tensor_parallel_size={args.tensor_parallel_size}"
    if not sys.platform.startswith("linux"):
        raise ConfigError(f"{asked} needs Linux, and this is {sys.platform}; leave it out")
    if args.runner != "torch":
        raise ConfigError(
            f"{asked} needs the runner torch, and runner={args.runner!r} is asked for"
        )
    if args.quantization != "none":
        raise ConfigError(
            f"{asked} and quantization={args.quantization!r} do not go together: the shards of a "
            "weight would be rounded differently from the whole. Leave out one of them"
        )


def _check_device(device: str, num_ranks: int) -> None:
    """Each rank has a GPU of its own, or all compute on the CPU."""
    asked = f"tensor_parallel_size={num_ranks}"
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.startswith("cuda:"):
        raise ConfigError(
            f"{asked} takes the first {num_ranks} GPUs, and device={device!r} names one. Give "
            "device='cuda', and choose GPUs by CUDA_VISIBLE_DEVICES"
        )
    if device == "cpu" and num_gpus:
        raise ConfigError(
            f"{asked} would use the GPUs that torch sees, and device='cpu' is asked for. Hide "
            "them: CUDA_VISIBLE_DEVICES= (empty)"
        )
    uses_gpus = device == "cuda" or (device == "auto" and num_gpus > 0)
    if uses_gpus and num_gpus < num_ranks:
        raise ConfigError(f"{asked} needs {num_ranks} GPUs, and torch sees {num_gpus}")


def _config_of(found: Source) -> PreTrainedConfig:
    if found.is_adapter:
        found = find_base(found)
    if found.gguf_file is not None:
        return read_gguf(found.directory / found.gguf_file).config
    own = own_names(found.directory) if found.kind is SourceKind.PUBLISHED else None
    return read_config(found.directory, ignored_keys=() if own is None else own.keys)


def _check_config(config: PreTrainedConfig, num_ranks: int) -> None:
    asked = f"tensor_parallel_size={num_ranks}"
    if getattr(config, "quantization_config", None) is not None:
        raise ConfigError(
            f"{asked} is not for quantised checkpoints, and this one is. Use an unquantised copy"
        )
    text = config.get_text_config()
    if not text.base_model_tp_plan:
        raise ConfigError(
            f"{asked} is not possible: transformers has no tensor-parallel plan for the "
            f"architecture {text.model_type}. Leave it out"
        )
    num_heads = int(text.num_attention_heads)
    num_kv_heads = int(getattr(text, "num_key_value_heads", None) or num_heads)
    if num_heads % num_ranks or num_kv_heads % num_ranks:
        allowed = [n for n in range(1, num_kv_heads + 1) if not (num_heads % n or num_kv_heads % n)]
        raise ConfigError(
            f"{asked} must divide the attention heads, and the model has {num_heads} with "
            f"{num_kv_heads} of keys and values. Possible are {', '.join(map(str, allowed))}"
        )

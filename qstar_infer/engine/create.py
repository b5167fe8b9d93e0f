"""Creates engines from `EngineArgs`."""

import logging
import os
import time
from dataclasses import dataclass

import torch

from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.checkpoint.sharding_checks import check_can_shard
from qstar_infer.cpu_limit import cpu_limit
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.build_runner import AnyModel
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine_args import SETTINGS_OF_LOADING, EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.model.generation_defaults import sampling_defaults
from qstar_infer.runner.llama_cpp.load import load_llama_cpp_model
from qstar_infer.runner.tensor_parallel.ranks import Ranks
from qstar_infer.sampling_defaults import SamplingDefaults

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    model: AnyModel
    ranks: Ranks | None = None
    """Those that share the model, if it is sharded."""


def create_llm_engine(
    args: EngineArgs, *, model: AnyModel | None = None
) -> tuple[LLMEngine, AnyModel]:
    """Create an engine, which the caller steps, and return it with its model.

    Args:
        model: a loaded model, to use instead of loading the one in `args`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: a setting is out of range, or does not fit the model or the machine.
        EngineDeadError: a rank of tensor parallelism ended.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if model is not None:
        _check_nothing_to_load(args, model)
        return _create(args, _Loaded(model=model)), model
    loaded = _load(args)
    return _create(args, loaded), loaded.model


def create_async_engine(args: EngineArgs) -> AsyncEngine:
    """Load a model and start its engine on its own thread, for a server.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: a setting is out of range, or does not fit the model or the machine.
        EngineDeadError: a rank of tensor parallelism ended.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        # More threads than CPUs wait for each other in every operation, many times longer.
        torch.set_num_threads(min(torch.get_num_threads(), cpu_limit()))
    loaded = _load(args)
    engine = AsyncEngine(_create(args, loaded))
    if loaded.ranks is not None:
        loaded.ranks.on_failure(engine.abandon)
    return engine


def _load(args: EngineArgs) -> _Loaded:
    started_s = time.monotonic()
    if args.tensor_parallel_size > 1:
        loaded = _load_shards(args)
    elif args.runner == "llama.cpp":
        loaded = _Loaded(model=load_llama_cpp_model(args))
    else:
        loaded = _Loaded(model=load_from_args(args))
    _log.info("the model was read in %.1f s", time.monotonic() - started_s)
    return loaded


def _load_shards(args: EngineArgs) -> _Loaded:
    check_can_shard(args)
    if args.threads is None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, cpu_limit() // args.tensor_parallel_size))
    has_gpus = args.device != "cpu" and torch.cuda.is_available()
    ranks = Ranks(
        args.tensor_parallel_size,
        device_type="cuda" if has_gpus else "cpu",
        num_threads=torch.get_num_threads(),
    )
    try:
        return _Loaded(model=ranks.load(args), ranks=ranks)
    except BaseException:
        ranks.close()
        raise


def _create(args: EngineArgs, loaded: _Loaded) -> LLMEngine:
    is_from_checkpoint = args.generation_config == "auto"
    try:
        engine = LLMEngine(
            loaded.model,
            args.engine,
            name=args.served_model_name,
            sampling_defaults=(
                sampling_defaults(loaded.model) if is_from_checkpoint else SamplingDefaults()
            ),
            ranks=loaded.ranks,
        )
    except BaseException:
        if loaded.ranks is not None:
            loaded.ranks.close()
        raise
    _log.info(
        "the engine holds %d blocks of %d tokens, %d sequences at a time and %d in its queue",
        engine.stats().num_blocks,
        engine.config.block_size,
        engine.config.max_num_seqs,
        engine.config.max_queue,
    )
    return engine


def _check_nothing_to_load(args: EngineArgs, model: AnyModel) -> None:
    as_loaded = {"dtype": str(model.dtype).removeprefix("torch."), "device": model.device.type}
    for name in SETTINGS_OF_LOADING:
        value = getattr(args, name)
        if value not in (getattr(EngineArgs(), name), as_loaded.get(name)):
            raise ConfigError(
                f"{name}={value!r} says how to load a model, but a loaded model was given. Leave "
                f"it out, or give the model's source and {name}"
            )

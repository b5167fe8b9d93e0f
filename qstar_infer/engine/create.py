"""Creates engines from `EngineArgs`."""

import logging
import os
import time

import torch

from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.cpu_limit import cpu_limit
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.build_runner import AnyModel
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine_args import SETTINGS_OF_LOADING, EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.model.generation_defaults import sampling_defaults
from qstar_infer.runner.llama_cpp.load import load_llama_cpp_model
from qstar_infer.sampling_defaults import SamplingDefaults

_log = logging.getLogger(__name__)


def create_llm_engine(
    args: EngineArgs, *, model: AnyModel | None = None
) -> tuple[LLMEngine, AnyModel]:
    """Create an engine, which the caller steps, and return it with its model.

    Args:
        model: a loaded model, to use instead of loading the one in `args`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: a setting is out of range, or does not fit the model or the machine.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if model is not None:
        _check_nothing_to_load(args, model)
    else:
        started_s = time.monotonic()
        is_llama_cpp = args.runner == "llama.cpp"
        model = load_llama_cpp_model(args) if is_llama_cpp else load_from_args(args)
        _log.info("the model was read in %.1f s", time.monotonic() - started_s)
    is_from_checkpoint = args.generation_config == "auto"
    defaults = sampling_defaults(model) if is_from_checkpoint else SamplingDefaults()
    engine = LLMEngine(model, args.engine, name=args.served_model_name, sampling_defaults=defaults)
    _log.info(
        "the engine holds %d blocks of %d tokens, %d sequences at a time and %d in its queue",
        engine.stats().num_blocks,
        engine.config.block_size,
        engine.config.max_num_seqs,
        engine.config.max_queue,
    )
    return engine, model


def create_async_engine(args: EngineArgs) -> AsyncEngine:
    """Load a model and start its engine on its own thread, for a server.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: a setting is out of range, or does not fit the model or the machine.
    """
    if args.threads is None and "OMP_NUM_THREADS" not in os.environ:
        # More threads than CPUs wait for each other in every operation, many times longer.
        torch.set_num_threads(min(torch.get_num_threads(), cpu_limit()))
    engine, _ = create_llm_engine(args)
    return AsyncEngine(engine)


def _check_nothing_to_load(args: EngineArgs, model: AnyModel) -> None:
    as_loaded = {"dtype": str(model.dtype).removeprefix("torch."), "device": model.device.type}
    for name in SETTINGS_OF_LOADING:
        value = getattr(args, name)
        if value not in (getattr(EngineArgs(), name), as_loaded.get(name)):
            raise ConfigError(
                f"{name}={value!r} says how to load a model, but a loaded model was given. Leave "
                f"it out, or give the model's source and {name}"
            )

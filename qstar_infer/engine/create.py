"""From `EngineArgs` to a running engine."""

from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine_args import EngineArgs
from qstar_infer.model.generation_defaults import sampling_defaults
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_defaults import SamplingDefaults


def create_llm_engine(
    args: EngineArgs, *, model: QuietStarModel | None = None
) -> tuple[LLMEngine, QuietStarModel]:
    """An engine that its caller steps, and its model.

    Args:
        model: a model already loaded, in place of what `args` says about loading.

    Raises:
        CheckpointError, ConfigError: as `load_model` and the settings.
    """
    if model is None:
        model = load_from_args(args)
    is_from_checkpoint = args.generation_config == "auto"
    defaults = sampling_defaults(model) if is_from_checkpoint else SamplingDefaults()
    engine = LLMEngine(model, args.engine, name=args.served_model_name, sampling_defaults=defaults)
    return engine, model


def create_async_engine(args: EngineArgs) -> AsyncEngine:
    """Load a model and start its engine on a thread of its own: what a server calls once.

    Raises:
        CheckpointError, ConfigError: as `create_llm_engine`.
    """
    engine, _ = create_llm_engine(args)
    return AsyncEngine(engine)

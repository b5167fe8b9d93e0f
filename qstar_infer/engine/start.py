"""From the name of a checkpoint to a running engine: what a server calls once."""

from qstar_infer.checkpoint import load_model
from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.engine.engine import LLMEngine
from qstar_infer.engine.thread import EngineThread


def start_engine(
    source: str | None,
    *,
    dtype: str = "auto",
    device: str = "auto",
    quantization: str = "none",
    revision: str | None = None,
    num_thought_tokens: int | None = None,
    speculation: Speculation = "auto",
    served_model_name: str | None = None,
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_queue: int | None = None,
) -> EngineThread:
    """Load a model and start its engine.

    Args:
        source, dtype, device, quantization, revision, num_thought_tokens: as for `load_model`.
        speculation, max_model_len, max_num_seqs, max_queue: fields of `EngineConfig`; None is its
            default.

    Raises:
        CheckpointError, ConfigError: as `load_model` and `EngineConfig`.
    """
    given = {
        "max_model_len": max_model_len,
        "max_num_seqs": max_num_seqs,
        "max_queue": max_queue,
    }
    limits = {name: value for name, value in given.items() if value is not None}
    config = EngineConfig(speculation=speculation, **limits)
    model = load_model(
        source,
        dtype=dtype,
        device=device,
        quantization=quantization,
        revision=revision,
        num_thought_tokens=num_thought_tokens,
    )
    return EngineThread(LLMEngine(model, config, name=served_model_name))

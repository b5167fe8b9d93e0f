"""The one place that starts the real engine. Everything else sees the `Engine` protocol.

It is imported inside the function: it brings torch, and `qstar --help` must not wait for that.
"""

from dataclasses import dataclass
from typing import Literal

from qstar_infer.engine.protocol import Engine

Speculation = Literal["auto", "off"] | int
"""How far drafts run ahead; a number is in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What `qstar serve` may say about the engine. None: the engine decides."""

    source: str | None
    """Checkpoint directory or name; None for the default model."""
    dtype: str
    device: str
    speculation: Speculation
    served_model_name: str | None
    max_model_len: int | None
    max_num_seqs: int | None
    max_queue: int | None


def load_engine(options: EngineOptions) -> Engine:
    """Load the model and start its engine. Takes seconds to minutes.

    Raises:
        CheckpointError, ConfigError: the checkpoint or an option is wrong.
    """
    from qstar_infer.engine.thread import start_engine

    return start_engine(
        options.source,
        dtype=options.dtype,
        device=options.device,
        speculation=options.speculation,
        served_model_name=options.served_model_name,
        max_model_len=options.max_model_len,
        max_num_seqs=options.max_num_seqs,
        max_queue=options.max_queue,
    )

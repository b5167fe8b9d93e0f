"""Inference with Quiet-STaR language models, which think before each token.

    from qstar_infer import LLM, SamplingParams

Names that need torch are imported on first use. Importing this package is therefore cheap and works
without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.errors import (
    CheckpointError,
    ConfigError,
    ContextLengthError,
    EngineClosedError,
    EngineDeadError,
    NotFiniteError,
    NoTokenError,
    QStarError,
    QueueFullError,
    RequestError,
    RequestFailedError,
)
from qstar_infer.outputs import (
    CompletionOutput,
    Draft,
    DroppedThought,
    EngineStats,
    LikelyToken,
    Logprob,
    Passes,
    RequestOutput,
    Thought,
)
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingRule
from qstar_infer.view.html import ThoughtsView

if TYPE_CHECKING:
    from qstar_infer.checkpoint import load_model
    from qstar_infer.llm import LLM
    from qstar_infer.model.quiet_star import QuietStarModel

__all__ = [
    "CheckpointError",
    "CompletionOutput",
    "ConfigError",
    "ContextLengthError",
    "Draft",
    "DroppedThought",
    "EngineClosedError",
    "EngineDeadError",
    "EngineStats",
    "LLM",
    "LikelyToken",
    "Logprob",
    "ModelInfo",
    "NoTokenError",
    "NotFiniteError",
    "Passes",
    "QStarError",
    "QueueFullError",
    "QuietStarModel",
    "RequestError",
    "RequestFailedError",
    "RequestOutput",
    "SamplingParams",
    "ThinkingRule",
    "Thought",
    "ThoughtsView",
    "load_model",
]

_NEEDS_TORCH = {
    "LLM": "qstar_infer.llm",
    "QuietStarModel": "qstar_infer.model.quiet_star",
    "load_model": "qstar_infer.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEEDS_TORCH[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

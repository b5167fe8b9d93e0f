"""One plain sentence about a model, for start-up lines and model cards."""

from pathlib import PurePath

import torch

from qstar_infer.model.quiet_star import QuietStarModel


def describe(model: QuietStarModel) -> str:
    """Name, size, dtype, thought length and whether the thoughts are trained."""
    backbone = model.backbone
    size = _count(sum(p.numel() for p in backbone.parameters()))
    head = f"{_name(model)} ({size} parameters, {_dtype(backbone.dtype)})"
    if model.thought_parts is None or model.config is None:
        return f"{head}, a plain language model without thought parts; it cannot think"
    length = model.config.num_thought_tokens
    tokens = "token" if length == 1 else "tokens"
    thinking = f"{head}, thinks {length} {tokens} before each token"
    if model.config.training is None:
        return (
            f"{thinking}; thought parts freshly initialised, so thoughts do not change the text yet"
        )
    return f"{thinking}; thought parts trained"


def _name(model: QuietStarModel) -> str:
    """The last part of where the model comes from."""
    recorded = None if model.config is None else model.config.base_model
    name = PurePath(recorded or model.backbone.name_or_path or "").name
    return name.removesuffix(".gguf") or str(model.backbone.config.model_type)


def _count(parameters: int) -> str:
    for unit, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= unit:
            value = parameters / unit
            return f"{value:.1f}{suffix}" if value < 10 else f"{value:.0f}{suffix}"
    return str(parameters)


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

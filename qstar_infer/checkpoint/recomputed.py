"""Tensors of older checkpoints that a model computes by itself: masks and rope frequencies."""

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_INV_FREQ = re.compile(r"(^|\.)rotary_emb\.inv_freq$")
_CAUSAL_MASK = re.compile(r"(^|\.)(attn|attention|self_attn|self_attention)\.bias$")
_MASK_VALUE = re.compile(r"(^|\.)(attn|attention)\.masked_bias$")
_POSITIONS = re.compile(r"(^|\.)position_ids$")

_SMALLEST_MASK_VALUE = -1e4
"""A score that softmax turns into 0; older models add it, or a smaller one, to masked scores."""


def is_recomputed(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor that a model does not use looks like one that it computes by itself."""
    if _CAUSAL_MASK.search(name):
        return len(shape) == 4  # a bias of a layer has one dimension
    return any(pattern.search(name) for pattern in (_INV_FREQ, _MASK_VALUE, _POSITIONS))


def difference_to_recomputed(name: str, tensor: Tensor, model: PreTrainedModel) -> str | None:
    """Why the model would compute something else without this tensor; None if it would not.

    Args:
        name: one for which `is_recomputed` is true.
        tensor: its value.
        model: its parameters may be on the meta device.
    """
    if _INV_FREQ.search(name):
        return _difference_of_frequencies(tensor, model)
    if _CAUSAL_MASK.search(name):
        lower = torch.ones(tensor.shape[-2:], dtype=torch.bool).tril()
        return (
            None if torch.equal(tensor.bool(), lower.expand(tensor.shape)) else "is no causal mask"
        )
    if _MASK_VALUE.search(name):
        is_mask = tensor.numel() == 1 and float(tensor) <= _SMALLEST_MASK_VALUE
        return None if is_mask else "is not the score of a masked position"
    counted = torch.arange(tensor.shape[-1]).expand(tensor.shape)
    return None if torch.equal(tensor.long(), counted) else "does not count the positions from 0"


def _difference_of_frequencies(stored: Tensor, model: PreTrainedModel) -> str | None:
    """Frequencies are stored as computed, or, by older code, before their scaling."""
    rope = getattr(model.config, "rope_parameters", None) or {}
    candidates = [_computed_frequencies(model)]
    if isinstance(rope.get("rope_theta"), int | float):
        exponents = torch.arange(len(stored)) / len(stored)
        candidates.append(1.0 / float(rope["rope_theta"]) ** exponents)
    for computed in candidates:
        # bfloat16 has 8 bits, and float16 no numbers below 6e-8.
        if (
            computed is not None
            and computed.shape == stored.shape
            and torch.allclose(stored.float(), computed, rtol=2**-7, atol=1e-7)
        ):
            return None
    return "differs from the rope frequencies that config.json gives"


def _computed_frequencies(model: PreTrainedModel) -> Tensor | None:
    """What the model's rotary module computes from the config; None if it has none."""
    for name, module in model.named_modules():
        if name.endswith("rotary_emb"):
            kind: Callable[..., nn.Module] = type(module)
            frequencies = getattr(kind(config=model.config), "inv_freq", None)
            return frequencies if isinstance(frequencies, Tensor) else None
    return None

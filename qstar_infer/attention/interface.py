"""Connects a stock transformers backbone to our attention.

Each layer of the backbone calls `quiet_star_attention`, which is registered with transformers'
AttentionInterface. It passes query, key and value to the `AttentionState` of the forward pass: the
engine's paged batch, the oracle's parallel thoughts, or a probe. The state decides which keys each
query sees. The backbone knows nothing about thoughts, lanes or blocks.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from qstar_infer.context_length import context_length
from qstar_infer.errors import CheckpointError
from qstar_infer.kv_cache.layer_shape import LayerShape

ATTENTION_NAME = "quiet_star"


class AttentionState(Protocol):
    """Computes the attention of every layer in one forward pass."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """Store this pass's keys and values, then compute attention.

        Args:
            layer: index of the layer.
            query: `[batch, heads, rows, head_dim]`, with rotary embedding applied.
            key, value: `[batch, kv_heads, rows, head_dim]`; keys with rotary embedding applied.
            scale: factor of the scores.
            window: sliding window of this layer in tokens; None for full attention.

        Returns:
            `[batch, rows, heads, head_dim]`.
        """
        ...


def quiet_star_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    attention_state: AttentionState,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls. The state replaces `attention_mask`."""
    assert attention_mask is None, "transformers built an attention mask; the state has its own"
    layer = module.layer_idx
    assert isinstance(layer, int)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = attention_state.attend(layer, query, key, value, scale=scale, window=sliding_window)
    return output.contiguous(), None  # some layers call view() on it


AttentionInterface.register(ATTENTION_NAME, quiet_star_attention)


class _Probe:
    """An attention state that records which layers call it, and their shapes."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, LayerShape]] = []

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        del scale
        shape = LayerShape(
            num_kv_heads=key.shape[1],
            key_dim=key.shape[-1],
            value_dim=value.shape[-1],
            window=window,
        )
        self.calls.append((layer, shape))
        return query.new_zeros(*query.shape[:3], value.shape[-1]).transpose(1, 2)


def install_attention(backbone: PreTrainedModel) -> list[LayerShape]:
    """Make a backbone use our attention, and run one pass to check that every layer does.

    Returns:
        One shape for each layer.

    Raises:
        CheckpointError: some layer does not call transformers' AttentionInterface exactly once, or
            the architecture has a sliding window that it applies only through the mask.
    """
    backbone.set_attn_implementation(ATTENTION_NAME)
    probe = _Probe()
    # Two texts of three tokens: with one token, a wrong output layout would go unnoticed.
    positions = torch.arange(3, device=backbone.device).expand(2, 3)
    try:
        with torch.inference_mode(), _with_quantised_layers_in_training(backbone):
            backbone.base_model(
                input_ids=torch.zeros_like(positions),
                position_ids=positions,
                use_cache=False,
                attention_state=probe,
            )
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise  # not a fault of the architecture
    except Exception as error:
        raise _unsupported(
            backbone, f"its forward pass fails: {type(error).__name__}: {error}"
        ) from error
    shapes = dict(probe.calls)
    num_layers = backbone.config.get_text_config().num_hidden_layers
    if sorted(layer for layer, _ in probe.calls) != list(range(num_layers)):
        detail = f"{len(shapes)} of {num_layers} layers called it, {len(probe.calls)} calls in all"
        raise _unsupported(backbone, detail)
    layers = [shapes[layer] for layer in range(num_layers)]
    _check_windows(backbone, layers)
    return layers


@contextmanager
def _with_quantised_layers_in_training(backbone: PreTrainedModel) -> Iterator[None]:
    """Set bitsandbytes layers to training mode, and back to evaluation mode afterwards.

    In its first pass in evaluation mode, bitsandbytes repacks 4-bit weights for a CPU kernel that
    has no gradients, and never unpacks them. Adapters on such weights would hardly learn, and no
    error would say why.
    """
    layers = [
        layer
        for layer in backbone.modules()
        if type(layer).__module__.startswith("bitsandbytes") and not layer.training
    ]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _check_windows(backbone: PreTrainedModel, layers: list[LayerShape]) -> None:
    """Raise if only the mask has the sliding window: the attention state replaces the mask."""
    if any(layer.window is not None and layer.window < 1 for layer in layers):
        raise _unsupported(backbone, "a layer has a sliding window of 0 tokens")
    window = _window_in_use(backbone.config.get_text_config())
    if window is not None and all(layer.window is None for layer in layers):
        raise _unsupported(backbone, f"no layer passes on the sliding window of {window} tokens")


def _window_in_use(config: PreTrainedConfig) -> int | None:
    """The sliding window that some layer applies, in tokens; None if no layer has one."""
    if not hasattr(type(config), "sliding_window") or not config.sliding_window:
        return None  # a model ignores a field that its config class does not declare
    window = int(config.sliding_window)
    layer_types = getattr(config, "layer_types", None)
    is_used = (
        getattr(config, "use_sliding_window", True)
        and (not layer_types or "sliding_attention" in layer_types)
        and window < _most_tokens(config)
    )
    return window if is_used else None


def _most_tokens(config: PreTrainedConfig) -> float:
    context = context_length(config)
    return context.num_tokens if context.is_stated else math.inf


def _unsupported(backbone: PreTrainedModel, detail: str) -> CheckpointError:
    return CheckpointError(
        f"{type(backbone).__name__} does not compute all of its attention through "
        f"transformers' AttentionInterface ({detail}). Thoughts need that; use a decoder such as "
        "Llama, Mistral or Qwen, or a newer transformers."
    )

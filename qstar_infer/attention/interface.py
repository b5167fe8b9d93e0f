"""The seam between a stock backbone and our attention.

The backbone's layers call `quiet_star_attention` (registered with transformers' AttentionInterface)
and it hands query, key and value to whatever `AttentionState` the forward pass was given: the
engine's paged batch, the oracle's parallel thoughts, or a probe. The state owns which keys each
query sees; the backbone knows nothing of thoughts, lanes or blocks.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from qstar_infer.errors import CheckpointError
from qstar_infer.kv_cache.layer_shape import LayerShape

ATTENTION_NAME = "quiet_star"


class AttentionState(Protocol):
    """Answers the attention of every layer in one forward pass."""

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
        """Write this pass's keys and values, then attend.

        Args:
            layer: index of the layer.
            query: `[batch, heads, rows, head_dim]`, rotated.
            key, value: `[batch, kv_heads, rows, head_dim]`, keys rotated.
            scale: multiplies the scores.
            window: sliding window of this layer in tokens, None for full attention.

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
    """The attention function as transformers calls it. The state replaces `attention_mask`."""
    assert attention_mask is None, "transformers built a mask for an attention that needs none"
    layer = module.layer_idx
    assert isinstance(layer, int)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = attention_state.attend(layer, query, key, value, scale=scale, window=sliding_window)
    return output.contiguous(), None  # some layers take a view of it


AttentionInterface.register(ATTENTION_NAME, quiet_star_attention)


class _Probe:
    """An attention state that only notes which layer called it, with which shapes."""

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
    """Make a backbone use our attention, and see by one pass that every layer does.

    Returns:
        One shape for each layer.

    Raises:
        CheckpointError: the architecture does not route its attention through transformers'
            interface, once in each layer, or hides keys by its mask alone.
    """
    backbone.set_attn_implementation(ATTENTION_NAME)
    probe = _Probe()
    # Two texts of three tokens: of one token, every layout of the output is contiguous.
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
        raise  # says nothing about the architecture
    except Exception as error:
        raise _refusal(
            backbone, f"its forward pass fails there: {type(error).__name__}: {error}"
        ) from error
    shapes = dict(probe.calls)
    num_layers = backbone.config.get_text_config().num_hidden_layers
    if sorted(layer for layer, _ in probe.calls) != list(range(num_layers)):
        detail = f"{len(shapes)} of {num_layers} layers called it, {len(probe.calls)} times in all"
        raise _refusal(backbone, detail)
    layers = [shapes[layer] for layer in range(num_layers)]
    _require_windows(backbone, layers)
    return layers


@contextmanager
def _with_quantised_layers_in_training(backbone: PreTrainedModel) -> Iterator[None]:
    """In the first pass outside training, bitsandbytes lays 4-bit weights out, for good, for a CPU
    kernel that has no gradients; adapters over them would hardly learn, and nothing would say so.
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


def _require_windows(backbone: PreTrainedModel, layers: list[LayerShape]) -> None:
    """Refuse a sliding window that is in the mask alone, which the attention state replaces."""
    window = _window_in_use(backbone.config.get_text_config())
    if window is not None and all(layer.window is None for layer in layers):
        raise _refusal(backbone, f"no layer passes on the sliding window of {window} tokens")


def _window_in_use(config: PreTrainedConfig) -> int | None:
    """The sliding window of some layer, in tokens; None where nothing is hidden by one."""
    if not hasattr(type(config), "sliding_window") or not config.sliding_window:
        return None  # a field that the class does not know is one that its model ignores
    window = int(config.sliding_window)
    layer_types = getattr(config, "layer_types", None)
    is_used = (
        getattr(config, "use_sliding_window", True)
        and (not layer_types or "sliding_attention" in layer_types)
        and window < getattr(config, "max_position_embeddings", math.inf)
    )
    return window if is_used else None


def _refusal(backbone: PreTrainedModel, detail: str) -> CheckpointError:
    return CheckpointError(
        f"{type(backbone).__name__} does not hand each layer's attention, once and whole, to "
        f"transformers' AttentionInterface ({detail}). Thoughts need that; use a decoder such as "
        "Llama, Mistral or Qwen, or a newer transformers."
    )

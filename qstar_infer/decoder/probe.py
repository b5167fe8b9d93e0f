"""Compares fused layers with the modules that they replace, on a few rows."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.llama_family import LayerModules, NotFusableError
from qstar_infer.model.quiet_star import QuietStarModel

_ROWS = 6
_TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""By the decoder's dtype: allowed length of the error, relative to the exact update's. A layer
rounds about ten times on the way, each time by half a unit in the last place: 1e-6, 2e-3 and 1e-2
were measured."""


class _ProbeAttention:
    """Causal attention over one pass in float32; records what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float, int | None]] = []

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
        """See `AttentionState.attend`. The rows are too few for a window."""
        self.calls.append((layer, scale, window))
        mixed = F.scaled_dot_product_attention(
            query.float(),
            key.float(),
            value.float(),
            is_causal=True,
            scale=scale,
            enable_gqa=True,
        )
        return mixed.transpose(1, 2).to(query.dtype)


@torch.inference_mode()
def check_decoder(decoder: FusedDecoder, model: QuietStarModel) -> None:
    """Compare one layer of each kind, and the output, with the model's modules.

    Raises:
        NotFusableError: a difference is larger than rounding, or not finite.
    """
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(_ROWS, model.hidden_size, generator=generator)
    # In short rows the norms' epsilon counts; in long ones it does not.
    states *= torch.logspace(-3, 1, _ROWS).unsqueeze(1)
    for modules in _one_of_each_kind(decoder.modules):
        _check_layer(decoder, modules, states)
    rounded = states.to(model.dtype)
    expected = model.logits(rounded)
    tolerance = _TOLERANCES[model.dtype] + _TOLERANCES[decoder.dtype]
    _check_close("lm_head", decoder.logits(rounded.to(decoder.dtype)), expected, tolerance)


def _one_of_each_kind(layers: list[LayerModules]) -> list[LayerModules]:
    """The first layer of each window and rope, and the last of all."""
    kinds = {(layer.window, layer.has_rope): layer for layer in reversed(layers)}
    return [*kinds.values(), layers[-1]]


def _check_layer(decoder: FusedDecoder, modules: LayerModules, states: Tensor) -> None:
    """Compare the update of one layer with that of its modules in float32."""
    positions = torch.arange(_ROWS) * 3
    rotation = decoder.rotation(states, positions)
    stock_attention, fused_attention = _ProbeAttention(), _ProbeAttention()
    stock = copy.deepcopy(modules.whole).float()
    after = stock(
        states[None],
        position_ids=positions[None],
        position_embeddings=(rotation.cos[None], rotation.sin[None]),
        attention_state=stock_attention,
    )[0]
    fused = states.clone()
    update = decoder.layers[modules.index].run(
        decoder.ops, fused, None, rotation, fused_attention, _ROWS
    )
    if fused_attention.calls != stock_attention.calls:
        raise NotFusableError(f"layer {modules.index} does not call the attention as expected")
    is_rounded = any(type(linear) is not nn.Linear for linear in modules.linears)
    # Layers of 8 and 4 bits compute in bfloat16, here as in the model's own modules.
    tolerance = _TOLERANCES[torch.bfloat16 if is_rounded else decoder.dtype]
    _check_close(
        f"layer {modules.index}", fused - states + update.float(), after - states, tolerance
    )


def _check_close(what: str, found: Tensor, expected: Tensor, tolerance: float) -> None:
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    largest = float(error.max())
    if not largest <= tolerance or math.isnan(largest):
        raise NotFusableError(f"{what} differs from the model's own modules by {largest:.1e}")

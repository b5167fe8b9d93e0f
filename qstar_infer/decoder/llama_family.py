"""Reads the modules of a model whose layers are built like Llama's in transformers.

    states += attention(norm(states));  states += down(silu(gate(x)) * up(x)), x = norm(states)

Anything that does not look exactly like that is refused, and runs as the modules it is made of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from qstar_infer.kv_cache.layer_shape import LayerShape

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3", "seed_oss", "smollm3"})
"""Model types of transformers whose modeling code was read and is tested here."""

_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
_MODEL = {"embed_tokens", "layers", "norm", "rotary_emb"}


class NotFusableError(Exception):
    """The layers of a model cannot be fused; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerModules:
    """The modules of one layer."""

    index: int
    whole: nn.Module
    """The layer itself."""
    input_norm: nn.Module
    qkv: list[nn.Module]
    """The projections to queries, keys and values."""
    head_norms: list[nn.Module]
    """Of queries and keys; empty if there are none."""
    output: nn.Module
    mlp_norm: nn.Module
    gate_up: list[nn.Module]
    down: nn.Module
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    window: int | None
    has_rope: bool

    @property
    def linears(self) -> list[nn.Module]:
        return [*self.qkv, self.output, *self.gate_up, self.down]

    @property
    def norms(self) -> list[nn.Module]:
        return [self.input_norm, *self.head_norms, self.mlp_norm]


def read_layers(backbone: PreTrainedModel, shapes: list[LayerShape]) -> list[LayerModules]:
    """The layers of a backbone.

    Args:
        shapes: of its layers, as its own attention reported them.

    Raises:
        NotFusableError: they are not of the known structure.
    """
    model_type = backbone.config.model_type
    if model_type not in MODEL_TYPES:
        raise NotFusableError(f"the layers of {model_type} are not known")
    base = backbone.base_model
    _check_children(base, _MODEL)
    _check_untouched(backbone)
    _check_norm(base.get_submodule("norm"))
    layers = cast(nn.ModuleList, base.layers)
    return [
        _read_layer(layer, index, shape)
        for index, (layer, shape) in enumerate(zip(layers, shapes, strict=True))
    ]


def all_modules(backbone: PreTrainedModel, layers: list[LayerModules]) -> Iterator[nn.Module]:
    """Every module with weights that fused layers use."""
    yield backbone.base_model.get_submodule("norm")
    yield backbone.get_submodule("lm_head")
    for layer in layers:
        yield from [*layer.linears, *layer.norms]


def _read_layer(layer: nn.Module, index: int, shape: LayerShape) -> LayerModules:
    _check_children(layer, _LAYER)
    attention, mlp = layer.get_submodule("self_attn"), layer.get_submodule("mlp")
    has_head_norms = "q_norm" in dict(attention.named_children())
    _check_children(attention, _ATTENTION | (_HEAD_NORMS if has_head_norms else set()))
    _check_children(mlp, _MLP)
    act_fn = mlp.get_submodule("act_fn")
    if not _is_silu(act_fn):
        raise NotFusableError(f"the activation {type(act_fn).__name__} is not silu")
    parts = LayerModules(
        index=index,
        whole=layer,
        input_norm=layer.get_submodule("input_layernorm"),
        qkv=[attention.get_submodule(f"{name}_proj") for name in "qkv"],
        head_norms=[attention.get_submodule(f"{name}_norm") for name in "qk"]
        if has_head_norms
        else [],
        output=attention.get_submodule("o_proj"),
        mlp_norm=layer.get_submodule("post_attention_layernorm"),
        gate_up=[mlp.get_submodule("gate_proj"), mlp.get_submodule("up_proj")],
        down=mlp.get_submodule("down_proj"),
        num_heads=shape.num_kv_heads * int(cast(int, attention.num_key_value_groups)),
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.key_dim,
        scale=float(cast(float, attention.scaling)),
        window=shape.window,
        has_rope=bool(getattr(attention, "use_rope", True)),
    )
    for norm in parts.norms:
        _check_norm(norm)
    return parts


def _check_norm(norm: nn.Module) -> None:
    """Raise `NotFusableError` if this is not transformers' usual RMS norm."""
    is_usual = type(norm).__name__.endswith("RMSNorm") and hasattr(norm, "variance_epsilon")
    if not is_usual or {name for name, _ in norm.named_parameters()} != {"weight"}:
        raise NotFusableError(f"the norm {type(norm).__name__} is not known")


def _is_silu(act_fn: nn.Module) -> bool:
    probe = torch.linspace(-8.0, 8.0, 65)
    return torch.allclose(act_fn(probe), nn.functional.silu(probe), atol=1e-6)


def _check_children(module: nn.Module, expected: set[str]) -> None:
    found = {name for name, _ in module.named_children()}
    if found != expected:
        kind = type(module).__name__
        raise NotFusableError(f"{kind} has other parts: {sorted(found ^ expected)}")


def _check_untouched(backbone: nn.Module) -> None:
    """Raise if something runs beside the modules' own code: hooks, or a replaced `forward`."""
    for name, module in backbone.named_modules():
        is_hooked = module._forward_hooks or module._forward_pre_hooks
        if is_hooked or "forward" in vars(module):
            raise NotFusableError(f"{name or 'the model'} has a hook or a forward of its own")
    for name, parameter in backbone.named_parameters():
        if parameter.is_inference():
            raise NotFusableError(f"changes of {name} cannot be noticed: an inference tensor")

"""A linear layer whose weight is rounded to 8 or 4 bits, in place of `nn.Linear`, on a CPU."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels.int4 import Int4Weight
from qstar_infer.kernels.int8 import Int8Weight

_log = logging.getLogger(__name__)

FORMATS: dict[str, Callable[[Tensor], "QuantisedWeight"]] = {
    "int8-cpu": Int8Weight.quantise,
    "int4-cpu": Int4Weight.quantise,
}
"""Name of a quantisation -> how a weight, `[out, in]`, is rounded."""


class QuantisedWeight(Protocol):
    """A rounded weight with its product.

    Attributes:
        format_name: how it is rounded: a key of `FORMATS`.
        shape: `(out, in)`.
    """

    format_name: str
    shape: tuple[int, int]

    @property
    def num_bytes(self) -> int: ...

    def multiply(self, states: Tensor) -> Tensor:
        """`[rows, in]` to `[rows, out]`, both bfloat16. A row's bits do not depend on others."""
        ...


class QuantisedLinear(nn.Module):
    """`nn.Linear` for inference with a rounded weight. States of any dtype, without gradients."""

    def __init__(self, weight: QuantisedWeight, bias: Tensor | None) -> None:
        """
        Args:
            bias: `[out]`, kept in its own dtype.
        """
        super().__init__()
        self.rounded = weight
        self.bias: Tensor | None
        self.register_buffer("bias", bias)
        self.out_features, self.in_features = weight.shape

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "QuantisedLinear":
        """Follow casts, but no move to another device; `to`, `half` and others call this."""
        device = fn(torch.empty(0)).device
        if device.type != "cpu":
            raise ConfigError(
                f"a model with quantization={self.format_name!r} cannot be moved to {device}: its "
                "linear layers are for CPUs. Load it there with another quantization"
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, *_: object) -> None:
        """Refuse: without the rounded weight, a saved model would be broken."""
        raise CheckpointError(
            f"A model with quantization={self.format_name!r} cannot be saved: its weights are "
            "rounded, and only this process can read them. Load it with quantization='none' and "
            "save that."
        )

    @property
    def format_name(self) -> str:
        """How the weight is rounded: a key of `FORMATS`."""
        return self.rounded.format_name

    @property
    def num_weights(self) -> int:
        return self.out_features * self.in_features

    def forward(self, states: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, computed in bfloat16, in the dtype of the states."""
        rows = states.reshape(-1, self.in_features)
        product = self.rounded.multiply(rows.bfloat16()).to(states.dtype)
        if self.bias is not None:
            product = product + self.bias
        return product.view(*states.shape[:-1], self.out_features)


def quantise_layers(backbone: nn.Module, name: str, *, kept: Collection[nn.Module] = ()) -> None:
    """Replace the `nn.Linear` layers of a model by rounded ones, one by one.

    Layers that are rounded already stay, and so do those whose shape cannot be rounded so; one line
    of the log says which.

    Args:
        name: one of `FORMATS`.
        kept: layers that stay as they are.

    Raises:
        ConfigError: no layer can be rounded so.
    """
    refused: dict[str, ConfigError] = {}
    for parent_name, parent in list(backbone.named_modules()):
        for child_name, layer in list(parent.named_children()):
            if type(layer) is not nn.Linear or layer in kept:
                continue
            try:
                rounded = FORMATS[name](layer.weight.detach())
            except ConfigError as error:
                refused[f"{parent_name}.{child_name}".removeprefix(".")] = error
                continue
            bias = None if layer.bias is None else layer.bias.detach()
            setattr(parent, child_name, QuantisedLinear(rounded, bias))
    if not any(isinstance(module, QuantisedLinear) for module in backbone.modules()):
        raise ConfigError(f"quantization={name!r}: {_why_none(refused)}")
    if refused:
        path, why = next(iter(refused.items()))
        _log.warning(
            "quantization=%r: %d linear layers keep their weights as they are; in %s, %s.",
            *(name, len(refused), path, why),
        )


def _why_none(refused: Mapping[str, ConfigError]) -> str:
    for path, error in refused.items():
        return f"no layer can be rounded; in {path}, {error}."
    return "this architecture has no linear layers that can be rounded; leave it out."


def join_rounded(
    layers: Sequence[QuantisedLinear], dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """One product for layers with the same input: `[rows, in]` to `[rows, out of all]`.

    Args:
        dtype: of the rows that go in and come out.
    """
    weights = [layer.rounded for layer in layers]
    joined = _join(weights)
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = torch.cat(biases).to(dtype) if biases else None

    def multiply(states: Tensor) -> Tensor:
        rows = states.bfloat16()
        if joined is None:
            product = torch.cat([weight.multiply(rows) for weight in weights], dim=1)
        else:
            product = joined.multiply(rows)
        product = product.to(dtype)
        return product if bias is None else product + bias

    return multiply


def _join(weights: Sequence[QuantisedWeight]) -> QuantisedWeight | None:
    if len(weights) == 1:
        return weights[0]
    int8 = [weight for weight in weights if isinstance(weight, Int8Weight)]
    int4 = [weight for weight in weights if isinstance(weight, Int4Weight)]
    if len(int8) == len(weights):
        return Int8Weight.join(int8)
    return Int4Weight.join(int4) if len(int4) == len(weights) else None

"""Packed layers give the model's results, and are not used after the weights change."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

from ..parity.toy import make_toy
from ..tolerances import TOY_LOGITS


class CountingKernel:
    """Computes as torch does, in float32, from a copy of the weight; counts its products."""

    name = "counting"
    dtype = torch.float32
    bytes_per_weight = 4
    num_calls = 0

    def is_available(self) -> bool:
        return True

    def padded_rows(self, num_rows: int) -> int:
        return num_rows

    def pack(self, weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        copied = weight.float().clone()

        def multiply(states: Tensor) -> Tensor:
            self.num_calls += 1
            assert states.dtype == self.dtype
            return nn.functional.linear(states, copied, None if bias is None else bias.float())

        return multiply


def make_layer() -> nn.Linear:
    return nn.Linear(64, 64).bfloat16()


def states() -> Tensor:
    return torch.randn(1, 2, 64).bfloat16()


def test_inference_uses_the_packed_weights() -> None:
    plain = make_toy().stock
    packed = copy.deepcopy(plain)
    kernel = CountingKernel()
    num_layers = sum(type(module) is nn.Linear for module in packed.modules())
    assert pack_layers(packed, kernel) == num_layers
    ids = torch.randint(0, 256, (2, 37))
    with torch.inference_mode():
        assert (packed(ids).logits - plain(ids).logits).abs().max() <= TOY_LOGITS
    assert kernel.num_calls == num_layers


WIDE = [
    each for each in (Float16WeightKernel(), OneDnnKernel(torch.float32)) if each.is_available()
]


@pytest.mark.parametrize("kernel", WIDE)
def test_states_are_cast_to_the_kernel_and_back(kernel: LinearKernel) -> None:
    plain = make_toy().stock.bfloat16()
    packed = copy.deepcopy(plain)
    pack_layers(packed, kernel)
    ids = torch.randint(0, 256, (1, 37))
    with torch.inference_mode():
        got, want = packed(ids).logits, plain(ids).logits
    assert got.dtype == torch.bfloat16
    # Both round each of 16 layers to bfloat16, where they may go apart by a unit.
    error = (got - want).float().norm() / want.float().norm()
    assert error <= math.sqrt(16) * torch.finfo(torch.bfloat16).eps


def test_changed_weights_take_effect_immediately() -> None:
    layer, kernel = make_layer(), CountingKernel()
    assert pack_layers(nn.Sequential(layer), kernel) == 1
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    with torch.inference_mode():
        assert layer(states()).eq(0).all()
    assert kernel.num_calls == 0


def test_packed_layers_still_have_gradients() -> None:
    layer, kernel = make_layer(), CountingKernel()
    pack_layers(nn.Sequential(layer), kernel)
    layer(states()).sum().backward()
    assert kernel.num_calls == 0
    assert layer.weight.grad is not None


def test_the_plain_kernel_packs_nothing() -> None:
    layer = make_layer()
    assert pack_layers(nn.Sequential(layer), PlainKernel(torch.bfloat16)) == 0
    assert "forward" not in vars(layer)


def test_a_subclass_of_a_linear_layer_is_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    assert pack_layers(nn.Sequential(Doubled(8, 8)), CountingKernel()) == 0


def test_a_step_may_ask_for_no_rows() -> None:
    """In the middle of a prompt nothing is sampled, so the output layer has nothing to do."""
    layer = make_layer()
    pack_layers(nn.Sequential(layer), CountingKernel())
    with torch.inference_mode():
        assert layer(torch.empty(1, 0, 64).bfloat16()).shape == (1, 0, 64)

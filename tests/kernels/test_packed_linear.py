"""Packed weights give the same bits, and are not used after the weights change.

One test needs oneDNN's bfloat16 kernel. The others put a counting stand-in in its place, so that
they test the choice between the packed and the plain path on every CPU.
"""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from qstar_infer.kernels import packed_linear
from qstar_infer.kernels.packed_linear import pack_linears

from ..parity.toy import make_toy

HAS_KERNEL = torch.ops.mkldnn._is_mkldnn_bf16_supported()


@dataclass
class StandIn:
    """A fake kernel that computes the same as torch, plus an error, from its packed weights."""

    num_calls: int = 0
    error: float = 0.0

    def pack(self, weight: Tensor, num_rows: int) -> Tensor:
        del num_rows
        return weight.clone()

    def run(self, states: Tensor, packed: Tensor, bias: Tensor | None, *_: object) -> Tensor:
        self.num_calls += 1
        return nn.functional.linear(states, packed, bias) + self.error


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(packed_linear, "_has_kernel", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", stand_in.pack)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", stand_in.run)
    return stand_in


def make_layer() -> nn.Linear:
    return nn.Linear(64, 64, bias=False).bfloat16()


def states() -> Tensor:
    return torch.randn(1, 2, 64).bfloat16()


@pytest.mark.skipif(not HAS_KERNEL, reason="this CPU lacks oneDNN's bfloat16 kernel (AVX512)")
def test_packed_layers_give_the_same_bits_as_plain_layers() -> None:
    plain = make_toy().stock.bfloat16()
    packed = copy.deepcopy(plain)
    assert pack_linears(packed) > 0
    ids = torch.randint(0, 256, (1, 37))
    with torch.inference_mode():
        assert torch.equal(packed(ids).logits, plain(ids).logits)


def test_inference_uses_the_packed_weights(kernel: StandIn) -> None:
    plain = make_toy().stock.bfloat16()
    packed = copy.deepcopy(plain)
    num_layers = sum(type(module) is nn.Linear for module in packed.modules())
    assert pack_linears(packed) == num_layers
    ids = torch.randint(0, 256, (1, 37))
    kernel.num_calls = 0
    with torch.inference_mode():
        assert torch.equal(packed(ids).logits, plain(ids).logits)
    assert kernel.num_calls == num_layers


def test_a_kernel_that_rounds_differently_is_not_used(kernel: StandIn) -> None:
    kernel.error = 1.0
    layer = make_layer()
    assert pack_linears(layer) == 0
    kernel.num_calls = 0
    with torch.inference_mode():
        layer(states())
    assert kernel.num_calls == 0


def test_changed_weights_take_effect_immediately(kernel: StandIn) -> None:
    layer = make_layer()
    assert pack_linears(layer) == 1
    with torch.no_grad():
        layer.weight.zero_()
    kernel.num_calls = 0
    with torch.inference_mode():
        assert layer(states()).eq(0).all()
    assert kernel.num_calls == 0


def test_packed_layers_still_have_gradients(kernel: StandIn) -> None:
    layer = make_layer()
    assert pack_linears(layer) == 1
    kernel.num_calls = 0
    layer(states()).sum().backward()
    assert kernel.num_calls == 0
    assert layer.weight.grad is not None


@pytest.mark.usefixtures("kernel")
def test_float32_layers_are_not_packed() -> None:
    assert pack_linears(make_toy().stock) == 0


@pytest.mark.usefixtures("kernel")
def test_nothing_is_packed_if_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "_MEMORY_SHARE", 0.0)
    assert pack_linears(make_layer()) == 0


def test_nothing_is_packed_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "_has_kernel", lambda: False)
    assert pack_linears(make_layer()) == 0

"""Packed weights give the same bits, and step aside when they no longer hold."""

import copy

import pytest
import torch

from qstar_infer.engine.packed_linear import pack_linears

from ..parity.toy import make_toy


def test_the_bits_are_those_of_the_plain_layers() -> None:
    plain = make_toy().stock.bfloat16()
    packed = copy.deepcopy(plain)
    if pack_linears(packed) == 0:
        pytest.skip("this CPU has no bfloat16 kernel of oneDNN, so nothing is packed")
    ids = torch.randint(0, 256, (1, 37))
    with torch.inference_mode():
        assert torch.equal(packed(ids).logits, plain(ids).logits)


def test_changed_weights_are_used_at_once() -> None:
    layer = torch.nn.Linear(64, 64, bias=False).bfloat16()
    pack_linears(layer)
    states = torch.randn(1, 2, 64).bfloat16()
    with torch.no_grad():
        layer.weight.zero_()
    with torch.inference_mode():
        assert layer(states).eq(0).all()


def test_gradients_still_flow() -> None:
    layer = torch.nn.Linear(64, 64, bias=False).bfloat16()
    pack_linears(layer)
    layer(torch.randn(1, 2, 64).bfloat16()).sum().backward()
    assert layer.weight.grad is not None


def test_float32_is_left_alone() -> None:
    assert pack_linears(make_toy().stock) == 0

"""A frozen layer gives the product and the gradient of `nn.Linear`."""

import pytest
import torch
from torch import nn

from qstar_infer.kernels.frozen_linear import FrozenLinear

from ..tolerances import float32_tolerance


@pytest.mark.parametrize("shape", [(1, 48), (2, 3, 48), (5, 7, 48)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_product_and_gradient(shape: tuple[int, ...], has_bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 33, bias=has_bias)
    frozen = FrozenLinear(layer)
    states = torch.randn(shape, requires_grad=True)
    weights = torch.randn(*shape[:-1], 33)
    results: list[tuple[torch.Tensor, torch.Tensor]] = []
    for each in (layer.double(), frozen):
        states.grad = None
        output = each(states.double() if each is layer else states)
        (output * weights).sum().backward()
        assert states.grad is not None
        results.append((output.detach().double(), states.grad.double()))
    (want, want_gradient), (got, gradient) = results
    tolerance = float32_tolerance(num_terms=48, size=4)
    assert float((got - want).abs().max()) <= tolerance
    assert float((gradient - want_gradient).abs().max()) <= tolerance
    assert not list(frozen.parameters())


def test_a_layer_behind_gets_its_gradient() -> None:
    before, frozen = nn.Linear(16, 48), FrozenLinear(nn.Linear(48, 8))
    frozen(before(torch.randn(3, 16))).sum().backward()
    assert before.weight.grad is not None
    assert before.weight.grad.abs().max() > 0

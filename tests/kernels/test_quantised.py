"""int8 and int4 layers: their rounding, their product, and layers packed together."""

import math

import pytest
import torch
from torch import Tensor, nn

from qstar_infer.errors import ConfigError
from qstar_infer.kernels.int4 import Int4Weight
from qstar_infer.kernels.int8 import Int8Weight
from qstar_infer.kernels.pack_together import pack_together
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.kernels.quantised_linear import FORMATS, QuantisedLinear, quantise_layers

BFLOAT16_EPS = torch.finfo(torch.bfloat16).eps
SHAPES = {
    "int8-cpu": [(1, 16), (7, 48), (192, 576), (576, 1536)],
    "int4-cpu": [(16, 32), (48, 96), (576, 1536)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded_int8(weight: Tensor) -> Tensor:
    """What int8 keeps of a weight, by definition, in float64."""
    scales = (weight.abs().amax(dim=1, keepdim=True) / 127).bfloat16().double()
    return (weight.double() / scales).round().clamp(-127, 127) * scales


def rounded_int4(weight: Tensor) -> Tensor:
    """The same for 16 levels in groups of 32, in float64."""
    groups = weight.reshape(len(weight), -1, 32)
    low, high = groups.amin(2, keepdim=True), groups.amax(2, keepdim=True)
    scales = ((high - low) / 15).bfloat16().double()
    zeros = (low + 8 * scales.float()).bfloat16().double()
    levels = ((groups.double() - zeros) / scales).round().clamp(-8, 7)
    return (levels * scales + zeros).reshape(weight.shape)


ROUNDED = {"int8-cpu": rounded_int8, "int4-cpu": rounded_int4}


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_layer_multiplies_by_the_rounded_weight(
    name: str, shape: tuple[int, int], dtype: torch.dtype, has_bias: bool
) -> None:
    weight = 0.05 * random(*shape)
    bias = random(shape[0], seed=1).to(dtype) if has_bias else None
    layer = QuantisedLinear(FORMATS[name](weight), bias)
    states = random(2, 5, shape[1], seed=2).bfloat16().to(dtype)
    exact = states.double() @ ROUNDED[name](weight).T
    got = layer(states) - (0 if bias is None else bias)
    assert got.shape == exact.shape
    assert got.dtype == dtype
    # The product is rounded to bfloat16; int4's weights are, too, where the kernel builds them;
    # where bfloat16 states add a bias, the sum is rounded again.
    size = exact.norm() + (0 if bias is None else math.sqrt(exact.numel()))
    assert (got - exact).norm() <= 2 * BFLOAT16_EPS * size


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_bits_of_a_row_do_not_depend_on_the_number_of_rows(
    name: str, shape: tuple[int, int], num_threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        weight = FORMATS[name](0.05 * random(*shape))
        rows = random(70, shape[1], seed=2).bfloat16()
        together = weight.multiply(rows)
        assert weight.multiply(rows[:0]).shape == (0, shape[0])
        for count in [*range(1, 41), 64]:
            assert torch.equal(weight.multiply(rows[:count]), together[:count]), count
            assert torch.equal(weight.multiply(rows[-count:]), together[-count:]), count
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", FORMATS)
def test_constant_and_zero_weights_are_kept(name: str) -> None:
    weight = torch.zeros(16, 64)
    weight[3] = 0.5
    layer = QuantisedLinear(FORMATS[name](weight), None)
    got = layer(torch.ones(1, 64))
    assert got[0, 3] == pytest.approx(32.0, rel=BFLOAT16_EPS)
    assert got[0].count_nonzero() == 1


@pytest.mark.parametrize("sizes", [(64, 64), (128, 64, 64), (48, 16), (64,)])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_layers_packed_together_give_the_same_bits(
    name: str, has_bias: bool, sizes: tuple[int, ...]
) -> None:
    layers = [
        QuantisedLinear(
            FORMATS[name](random(size, 96, seed=size + index)),
            random(size, seed=1) if has_bias else None,
        )
        for index, size in enumerate(sizes)
    ]
    rows = random(5, 96, seed=2)
    want = torch.cat([layer(rows) for layer in layers], dim=1)
    multiply = pack_together(layers, PlainKernel(torch.float32))
    assert torch.equal(multiply(rows), want)
    # The layers now share the joined weight, and still work.
    assert torch.equal(torch.cat([layer(rows) for layer in layers], dim=1), want)


def test_joined_weights_are_not_held_twice() -> None:
    for kind in (Int8Weight, Int4Weight):
        parts = [kind.quantise(random(64, 64, seed=seed)) for seed in (0, 1)]
        joined = kind.join(parts)  # type: ignore[arg-type]
        assert joined is not None
        held = [part.values if isinstance(part, Int8Weight) else part.packed for part in parts]
        whole = joined.values if isinstance(joined, Int8Weight) else joined.packed
        assert {each.untyped_storage().data_ptr() for each in held} == {
            whole.untyped_storage().data_ptr()
        }


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("int8-cpu", nn.Linear(24, 64), r"in 0\.odd, a width of 24 cannot be multiplied in 8 bits"),
        (
            "int4-cpu",
            nn.Linear(48, 64),
            r"in 0\.odd, a width of 48 cannot be rounded to 4 bits in groups of 32",
        ),
        (
            "int4-cpu",
            nn.Linear(64, 40),
            r"in 0\.odd, 40 outputs cannot be packed in 4 bits: .* multiple of 16",
        ),
    ],
)
def test_a_shape_that_cannot_be_rounded_is_named(name: str, layer: nn.Linear, message: str) -> None:
    holder = nn.Module()
    holder.odd = layer
    with pytest.raises(ConfigError, match=message):
        quantise_layers(nn.Sequential(holder), name)


@pytest.mark.parametrize(("name", "width"), [("int8-cpu", 24), ("int4-cpu", 48)])
def test_a_layer_that_cannot_be_rounded_stays(
    name: str, width: int, caplog: pytest.LogCaptureFixture
) -> None:
    odd, even = nn.Linear(width, 64), nn.Linear(64, 64)
    model = nn.Sequential(odd, even)
    quantise_layers(model, name)
    assert model[0] is odd
    assert isinstance(model[1], QuantisedLinear)
    (record,) = caplog.records
    assert f"1 linear layers keep their weights as they are; in 0, a width of {width}" in (
        record.getMessage()
    )


def test_rounded_and_other_layers_are_packed_together() -> None:
    even, odd = nn.Linear(64, 64), nn.Linear(64, 24)
    model = nn.Sequential(even, odd)
    quantise_layers(model, "int4-cpu")
    rows = torch.randn(5, 64)
    packed = pack_together(list(model), PlainKernel(torch.float32))
    want = torch.cat([layer(rows) for layer in model], dim=1)
    torch.testing.assert_close(packed(rows), want, rtol=0.01, atol=0.01)


def test_a_model_without_linear_layers_cannot_be_rounded() -> None:
    with pytest.raises(ConfigError, match="no linear layers that can be rounded"):
        quantise_layers(nn.Sequential(nn.Embedding(3, 4)), "int8-cpu")

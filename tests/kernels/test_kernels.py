"""Each kernel against float64, for all shapes; and a row's bits, whatever rows are beside it."""

import math

import pytest
import torch
from torch import Tensor

from qstar_infer.kernels.fbgemm import Float16WeightKernel, fits_float16
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

KERNELS: list[LinearKernel] = [
    OneDnnKernel(torch.bfloat16),
    OneDnnKernel(torch.float32),
    Float16WeightKernel(),
    PlainKernel(torch.bfloat16),
    PlainKernel(torch.float16),
    PlainKernel(torch.float32),
]
AVAILABLE = [kernel for kernel in KERNELS if kernel.is_available()]
"""A kernel that this CPU lacks is never chosen here; see test_choose.py."""
ROWS_ALONE = [kernel for kernel in AVAILABLE if not isinstance(kernel, PlainKernel)]
SHAPES = [(1, 1), (7, 33), (33, 31), (48, 32), (576, 1536), (1537, 576), (64, 2048)]


def name_of(kernel: LinearKernel) -> str:
    return f"{kernel.name} {kernel.dtype}"


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_float32_kernel_is_available_everywhere() -> None:
    assert any(kernel.dtype == torch.float32 for kernel in AVAILABLE)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", AVAILABLE, ids=name_of)
def test_a_kernel_gives_the_product(
    kernel: LinearKernel, shape: tuple[int, int], stored: torch.dtype, has_bias: bool
) -> None:
    weight = (0.05 * random(*shape)).to(stored)
    bias = random(shape[0], seed=1).to(stored) if has_bias else None
    if isinstance(kernel, PlainKernel):  # which takes the weight as it is
        weight, bias = weight.to(kernel.dtype), None if bias is None else bias.to(kernel.dtype)
    with torch.inference_mode():
        multiply = kernel.pack(weight, bias)
        for num_rows in (0, 1, 2, 9):
            rows = random(num_rows, shape[1], seed=2).to(kernel.dtype)
            got = multiply(rows)
            exact = rows.double() @ weight.double().T + (0 if bias is None else bias.double())
            assert got.shape == (num_rows, shape[0])
            assert got.dtype == kernel.dtype
            assert (got - exact).norm() <= tolerance(kernel, stored, shape[1]) * bound(exact)


def tolerance(kernel: LinearKernel, stored: torch.dtype, num_terms: int) -> float:
    """Relative rounding of the weight, of the result, and of a sum in float32 of so many terms."""
    result = torch.finfo(kernel.dtype).eps
    held = torch.float16 if isinstance(kernel, Float16WeightKernel) else kernel.dtype
    weight = torch.finfo(held).eps if torch.finfo(stored).eps < torch.finfo(held).eps else 0.0
    return result + weight + math.sqrt(num_terms) * torch.finfo(torch.float32).eps


def bound(exact: Tensor) -> float:
    """A sum may cancel, and then its error is relative to its terms."""
    return float(exact.norm()) + 0.05 * math.sqrt(exact.numel())


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("shape", [(960, 576), (576, 1536), (48, 32), (7, 2048), (33, 31)])
@pytest.mark.parametrize("kernel", ROWS_ALONE, ids=name_of)
def test_the_bits_of_a_row_do_not_depend_on_the_number_of_rows(
    kernel: LinearKernel, shape: tuple[int, int], num_threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.inference_mode():
            multiply = kernel.pack(0.05 * random(*shape), random(shape[0], seed=1))
            rows = random(150, shape[1], seed=2).to(kernel.dtype)
            together = multiply(rows)
            for count in [*range(1, 41), 64, 119, 120, 121, 122, 127]:
                assert torch.equal(multiply(rows[:count]), together[:count]), count
                assert torch.equal(multiply(rows[-count:]), together[-count:]), count
    finally:
        torch.set_num_threads(before)


def test_what_float16_can_hold() -> None:
    weight = random(4, 64).bfloat16().float()
    assert fits_float16(weight)
    assert fits_float16(torch.zeros(2, 8))
    too_large = weight.clone()
    too_large[2, 3] = 65_520.0
    assert not fits_float16(too_large)
    assert not fits_float16(1e-7 * weight)
    # One tiny value beside others of usual size is nothing to the row.
    one_tiny = weight.clone()
    one_tiny[1, 1] = 1e-8
    assert fits_float16(one_tiny)


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_a_weight_that_float16_cannot_hold_is_multiplied_in_float32(factor: float) -> None:
    weight = factor * random(48, 64)
    rows = random(5, 64, seed=1)
    with torch.inference_mode():
        got = Float16WeightKernel().pack(weight, None)(rows)
    exact = rows.double() @ weight.double().T
    assert (got - exact).norm() <= 1e-6 * exact.norm()

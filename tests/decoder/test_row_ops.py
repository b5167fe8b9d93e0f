"""Row operations compute their formulas, each row by itself."""

import math

import pytest
import torch
from torch import Tensor

from qstar_infer.decoder.native_row_ops import NativeRowOps
from qstar_infer.decoder.row_ops import Norm, Rotation, RowOps, TorchRowOps
from qstar_infer.decoder.row_ops_library import load_row_ops_library

WIDTHS = [8, 48, 301, 576, 1000]
"""Multiples of a vector's length, others, and more than one block of `row_ops.c`."""
TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
"""Relative: half a unit in the last place for 16 bits; for float32 that of a short sum."""


def make_ops(kind: str, dtype: torch.dtype) -> RowOps:
    if kind == "torch":
        return TorchRowOps(dtype)
    library = load_row_ops_library()
    if library is None:
        pytest.skip("this machine has no C compiler")
    return NativeRowOps(library, dtype)


CASES = [
    *[("native", dtype) for dtype in (torch.float32, torch.bfloat16)],
    *[("torch", dtype) for dtype in TOLERANCES],
]
with_each_kind = pytest.mark.parametrize(("kind", "dtype"), CASES)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rms_norm(states: Tensor, norm: Norm) -> Tensor:
    exact = states.double()
    return exact / (exact.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight


def rotated(heads: Tensor, rotation: Rotation) -> Tensor:
    """By complex numbers: the first half of a head is real, the second imaginary."""
    half = heads.shape[-1] // 2
    exact = heads.double()
    turned = torch.complex(exact[..., :half], exact[..., half:]) * torch.complex(
        rotation.cos[:, None, :half].double(), rotation.sin[:, None, :half].double()
    )
    return torch.cat([turned.real, turned.imag], dim=-1)


def make_rotation(rows: int, head_dim: int) -> Rotation:
    angles = randn(rows, head_dim // 2, seed=9).mul(10).repeat(1, 2)
    return Rotation(cos=angles.cos(), sin=angles.sin())


def assert_close(found: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=tolerance)


@with_each_kind
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_add_norm(kind: str, dtype: torch.dtype, width: int, eps: float) -> None:
    ops = make_ops(kind, dtype)
    states, update = randn(5, width), randn(5, width, seed=1).to(dtype)
    norm = Norm(weight=randn(width, seed=2), eps=eps)
    want = states + update
    assert_close(ops.add_norm_(states, update, norm), rms_norm(want, norm), dtype)
    assert torch.equal(states, want)
    assert_close(ops.add_norm_(states, None, norm), rms_norm(want, norm), dtype)
    assert torch.equal(states, want)


@with_each_kind
@pytest.mark.parametrize("width", WIDTHS)
def test_silu_gate(kind: str, dtype: torch.dtype, width: int) -> None:
    gate_up = randn(5, 2 * width).mul(4).to(dtype)
    gate, up = gate_up.double().chunk(2, dim=-1)
    found = make_ops(kind, dtype).silu_gate(gate_up)
    assert_close(found, gate / (1 + (-gate).exp()) * up, dtype)


@with_each_kind
def test_silu_of_very_small_and_large_numbers(kind: str, dtype: torch.dtype) -> None:
    gate = torch.tensor([[-1e4, -200, -90, -87, -1e-30, 0, 1e-30, 80, 90, 200, 1e4, 6e4]])
    gate = gate.to(dtype)
    found = make_ops(kind, dtype).silu_gate(torch.cat([gate, torch.ones_like(gate)], dim=-1))
    assert_close(found, torch.nn.functional.silu(gate.double()), dtype)


@with_each_kind
@pytest.mark.parametrize("head_dim", [6, 12, 64, 256])
@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize("has_rope", [False, True])
def test_norm_rotate(
    kind: str, dtype: torch.dtype, head_dim: int, has_norm: bool, has_rope: bool
) -> None:
    heads = randn(5, 7, head_dim).to(dtype)
    norm = Norm(weight=randn(4, head_dim, seed=2), eps=1e-3) if has_norm else None
    rotation = make_rotation(5, head_dim) if has_rope else None
    want = heads.double()
    if norm is not None:
        want[:, :4] = rms_norm(want[:, :4], norm)
    if rotation is not None:
        want[:, :4] = rotated(want[:, :4], rotation)
    make_ops(kind, dtype).norm_rotate_(heads, 4, norm, rotation)
    assert_close(heads, want, dtype)


@with_each_kind
@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_has_the_same_bits_with_any_number_of_rows(
    kind: str, dtype: torch.dtype, width: int
) -> None:
    ops = make_ops(kind, dtype)
    head_dim = width // 4 * 2
    norm = Norm(weight=randn(width), eps=1e-5)
    head_norm = Norm(weight=randn(3, head_dim), eps=1e-5)
    states, gate_up = randn(40, width), randn(40, 2 * width).to(dtype)
    heads, rotation = randn(40, 5, head_dim).to(dtype), make_rotation(40, head_dim)

    def compute(rows: slice) -> list[Tensor]:
        mine = heads[rows].clone()
        part = Rotation(cos=rotation.cos[rows], sin=rotation.sin[rows])
        ops.norm_rotate_(mine, 3, head_norm, part)
        return [
            ops.add_norm_(states[rows].clone(), None, norm),
            ops.silu_gate(gate_up[rows].clone()),
            mine,
        ]

    all_rows = compute(slice(0, 40))
    for first, count in [(0, 1), (39, 1), *((40 - count, count) for count in range(2, 40))]:
        rows = slice(first, first + count)
        for found, whole in zip(compute(rows), all_rows, strict=True):
            assert torch.equal(found, whole[rows]), (first, count)


@with_each_kind
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_stays_in_its_row(
    kind: str, dtype: torch.dtype, broken: float
) -> None:
    ops = make_ops(kind, dtype)
    states, gate_up, heads = randn(3, 48), randn(3, 96).to(dtype), randn(3, 4, 16).to(dtype)
    states[1, 40] = gate_up[1, 90] = heads[1, 2, 11] = broken
    norm = Norm(weight=torch.ones(48), eps=1e-5)
    ops.norm_rotate_(heads, 3, None, make_rotation(3, 16))
    for result in (ops.add_norm_(states, None, norm), ops.silu_gate(gate_up), heads.flatten(1)):
        assert result.isfinite().all(dim=-1).tolist() == [True, False, True]

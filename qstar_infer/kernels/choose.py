"""Chooses the kernel of a model's linear layers on this CPU."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import psutil
import torch
from torch import Tensor, nn

from qstar_infer.hardware import has_fast_bfloat16
from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.25
"""Largest share of free memory for packed copies; a larger model keeps its plain layers."""
_PROBE_ROWS = (1, 8)
_PROBE_SIZE = 512
_ROUNDS = 8
"""Each round times every kernel once, so that what else runs on the machine slows all of them."""
_CLEARLY = 1.5
"""A kernel lower in the order wins only if it is so many times as fast, so that noise in the probe
does not change a model's numbers from one start to the next."""


@dataclass(frozen=True)
class _Probe:
    kernel: LinearKernel
    multiply: PackedLinear
    inputs: tuple[Tensor, ...]
    """One for each of `_PROBE_ROWS`."""


@dataclass(frozen=True)
class _Candidate:
    kernel: LinearKernel
    ms: tuple[float, ...] = ()
    """One product, for each of `_PROBE_ROWS`; empty if it was not measured."""

    def __str__(self) -> str:
        times = " and ".join(f"{each:.2f}" for each in self.ms)
        return f"{self.kernel.name} ({times} ms)" if self.ms else self.kernel.name


def choose_kernel(backbone: nn.Module) -> LinearKernel:
    """The best kernel for the weights of a model on a CPU; logs which and why.

    Float32 weights are multiplied in float32. 16-bit weights prefer a kernel that keeps 16 bits.
    The plain kernel, whose bits may change with the number of rows, is used only if no other works,
    however fast it is.

    Args:
        backbone: the kernel is for its `nn.Linear` layers.
    """
    layers = [module for module in backbone.modules() if type(module) is nn.Linear]
    wanted = candidates(_widest_dtype(layers))
    num_weights = sum(layer.weight.numel() for layer in layers)
    room = psutil.virtual_memory().available * _MEMORY_SHARE
    *packing, plain = wanted
    affordable = [each for each in packing if each.bytes_per_weight * num_weights <= room]
    with _one_thread():
        measured = _measure([probe for each in affordable if (probe := _probe(each)) is not None])
    chosen = _best(measured) if measured else _Candidate(plain)
    others = ", ".join(str(each) for each in measured if each is not chosen) or "none"
    _log.info(
        "Linear layers use %s; also possible: %s; times are of a small product of 1 and 8 rows%s.",
        chosen,
        others,
        "" if len(affordable) == len(packing) else "; copies for others would not fit in memory",
    )
    return chosen.kernel


def candidates(stored: torch.dtype) -> list[LinearKernel]:
    """The available kernels for weights of this dtype, the preferred first, plain last."""
    packed_bfloat16, packed_float32 = OneDnnKernel(torch.bfloat16), OneDnnKernel(torch.float32)
    order: list[LinearKernel] = [packed_float32, PlainKernel(stored)]
    if stored != torch.float32:
        order.insert(0, Float16WeightKernel())
    if stored == torch.bfloat16 and has_fast_bfloat16(torch.device("cpu")):
        order.insert(0, packed_bfloat16)
    return [kernel for kernel in order if kernel.is_available()]


def _widest_dtype(layers: list[nn.Linear]) -> torch.dtype:
    dtypes = {layer.weight.dtype for layer in layers}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


@contextmanager
def _one_thread() -> Iterator[None]:
    """Several threads wait for each other, so on a busy machine their times mean nothing."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@torch.inference_mode()
def _probe(kernel: LinearKernel) -> _Probe | None:
    """A small product of a kernel; None if the kernel fails or its result is wrong."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(_PROBE_SIZE, _PROBE_SIZE, generator=generator).bfloat16()
    states = torch.randn(max(_PROBE_ROWS), _PROBE_SIZE, generator=generator).bfloat16()
    exact = states.double() @ weight.double().T
    try:
        multiply = kernel.pack(weight.to(kernel.dtype), None)
        inputs = tuple(states[:num_rows].to(kernel.dtype) for num_rows in _PROBE_ROWS)
        for rows in inputs:
            _check(multiply(rows), exact[: len(rows)], kernel.dtype)
    except (RuntimeError, ArithmeticError) as error:
        _log.info("The kernel %s does not work here: %s", kernel.name, error)
        return None
    return _Probe(kernel, multiply, inputs)


@torch.inference_mode()
def _measure(probes: list[_Probe]) -> list[_Candidate]:
    """The shortest time of each product, in the order of the probes."""
    shortest = [[math.inf] * len(_PROBE_ROWS) for _ in probes]
    for _ in range(_ROUNDS):
        for probe, times in zip(probes, shortest, strict=True):
            for index, rows in enumerate(probe.inputs):
                times[index] = min(times[index], _time_ms(probe.multiply, rows))
    return [
        _Candidate(probe.kernel, tuple(times))
        for probe, times in zip(probes, shortest, strict=True)
    ]


def _time_ms(multiply: PackedLinear, rows: Tensor) -> float:
    started = time.perf_counter()
    multiply(rows)
    return 1000 * (time.perf_counter() - started)


def _check(product: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    """Raise ArithmeticError if a product is off by more than rounding."""
    error = float((product.double() - exact).norm() / exact.norm())
    # Rounding of the result, and of the sums, which are added in float32.
    allowed = torch.finfo(dtype).eps + math.sqrt(_PROBE_SIZE) * torch.finfo(torch.float32).eps
    if not error <= allowed:
        raise ArithmeticError(f"its product is off by {error:.1e}, more than {allowed:.1e}")


def _best(measured: list[_Candidate]) -> _Candidate:
    best = measured[0]
    for candidate in measured[1:]:
        if fmean(best.ms) > _CLEARLY * fmean(candidate.ms):
            best = candidate
    return best

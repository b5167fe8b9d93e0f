"""The choice of a kernel: by dtype, CPU, memory, and a probe of result and time."""

import logging
from collections.abc import Callable
from itertools import chain, cycle, repeat

import pytest
import torch
from torch import Tensor, nn

from qstar_infer.kernels import choose
from qstar_infer.kernels.choose import candidates, choose_kernel
from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel

BFLOAT16, FLOAT16, FLOAT32 = torch.bfloat16, torch.float16, torch.float32


def layers(dtype: torch.dtype) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 64, dtype=dtype))


def fake_cpu(
    monkeypatch: pytest.MonkeyPatch,
    *,
    fast_bfloat16: bool = False,
    onednn: bool = True,
    fbgemm: bool = True,
) -> None:
    monkeypatch.setattr(choose, "has_fast_bfloat16", lambda _device: fast_bfloat16)
    monkeypatch.setattr(OneDnnKernel, "is_available", lambda _self: onednn)
    monkeypatch.setattr(Float16WeightKernel, "is_available", lambda _self: fbgemm)


@pytest.mark.parametrize(
    ("stored", "cpu", "names"),
    [
        (
            BFLOAT16,
            {"fast_bfloat16": True},
            ["packed bfloat16", "float16 weights", "packed float32", "plain"],
        ),
        (BFLOAT16, {}, ["float16 weights", "packed float32", "plain"]),
        (FLOAT16, {"fast_bfloat16": True}, ["float16 weights", "packed float32", "plain"]),
        (FLOAT32, {"fast_bfloat16": True}, ["packed float32", "plain"]),
        (BFLOAT16, {"fbgemm": False}, ["packed float32", "plain"]),
        (BFLOAT16, {"onednn": False}, ["float16 weights", "plain"]),
        (FLOAT32, {"onednn": False}, ["plain"]),
    ],
)
def test_the_order_of_preference(
    stored: torch.dtype, cpu: dict[str, bool], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cpu(monkeypatch, **cpu)
    order = candidates(stored)
    assert [kernel.name for kernel in order] == names
    assert order[-1].dtype == stored


def test_float32_weights_are_never_rounded() -> None:
    for kernel in candidates(FLOAT32):
        assert kernel.dtype == FLOAT32
        assert not isinstance(kernel, Float16WeightKernel)


def test_layers_of_two_dtypes_are_multiplied_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch, fast_bfloat16=True)
    mixed = nn.Sequential(layers(BFLOAT16), layers(FLOAT32))
    assert choose_kernel(mixed).dtype == FLOAT32


def test_only_the_plain_kernel_is_left_if_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "_MEMORY_SHARE", 0.0)
    with caplog.at_level(logging.INFO):
        assert isinstance(choose_kernel(layers(BFLOAT16)), PlainKernel)
    assert "would not fit in memory" in caplog.text


def off_by_a_thousandth(multiply: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda rows: 1.001 * multiply(rows)


def test_an_inexact_kernel_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = OneDnnKernel.pack
    monkeypatch.setattr(
        OneDnnKernel, "pack", lambda *arguments: off_by_a_thousandth(right(*arguments))
    )
    with caplog.at_level(logging.INFO):
        assert isinstance(choose_kernel(layers(FLOAT32)), PlainKernel)
    assert "packed float32 does not work here: its product is off by 1.0e-03" in caplog.text


def test_a_kernel_that_fails_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such instruction")

    fake_cpu(monkeypatch)
    monkeypatch.setattr(Float16WeightKernel, "pack", fail)
    assert not isinstance(choose_kernel(layers(BFLOAT16)), Float16WeightKernel)


@pytest.mark.parametrize(("factor", "wins"), [(1.4, False), (1.6, True)])
def test_a_later_kernel_must_be_clearly_faster(
    factor: float, wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cpu(monkeypatch)
    times = cycle([factor, factor, 1.0, 1.0])  # float16 weights, float32
    monkeypatch.setattr(choose, "_time_ms", lambda *_: next(times))
    expected = "packed float32" if wins else "float16 weights"
    assert choose_kernel(layers(BFLOAT16)).name == expected


def test_the_plain_kernel_does_not_win_by_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On some CPUs it did, and a request's numbers then changed with the others in its pass."""
    times = cycle([9.0, 9.0, 0.1, 0.1])
    monkeypatch.setattr(choose, "_time_ms", lambda *_: next(times))
    assert isinstance(choose_kernel(layers(FLOAT32)), OneDnnKernel)
    monkeypatch.setattr(OneDnnKernel, "is_available", lambda _self: False)
    assert isinstance(choose_kernel(layers(FLOAT32)), PlainKernel)


def test_a_pause_of_the_machine_does_not_change_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch)
    pauses = chain([100.0] * 5, repeat(0.0))  # the first round, and more
    times = cycle([1.0, 1.0, 1.2, 1.2])
    monkeypatch.setattr(choose, "_time_ms", lambda *_: next(times) + next(pauses))
    assert choose_kernel(layers(BFLOAT16)).name == "float16 weights"


def test_the_choice_is_logged_in_one_line_and_leaves_the_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_cpu(monkeypatch)
    num_threads = torch.get_num_threads()
    with caplog.at_level(logging.INFO):
        kernel = choose_kernel(layers(BFLOAT16))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Linear layers use {kernel.name} (")
    assert torch.get_num_threads() == num_threads

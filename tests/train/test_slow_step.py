"""A slow first step: one warning, and advice that fits the run."""

import os
from pathlib import Path

import pytest
import torch

from qstar_train.trainer import reporter
from qstar_train.trainer.reporter import faster_ways
from qstar_train.trainer.train import train

from .trainer_toys import config_of, write_config

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("slow"))


def advice(config: Path, device: torch.device, num_processes: int = 1, **changes: str) -> str:
    return "; ".join(
        faster_ways(config_of(config, **changes), device=device, num_processes=num_processes)
    )


def test_advice_fits_the_run(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(reporter, "has_fast_bfloat16", lambda _: False)
    assert "dtype=float32" in advice(config, CPU, dtype="bfloat16")
    assert "dtype" not in advice(config, CPU, dtype="float32")
    assert "dtype" not in advice(config, GPU, dtype="bfloat16")
    monkeypatch.setattr(reporter, "has_fast_bfloat16", lambda _: True)
    assert "dtype" not in advice(config, CPU, dtype="bfloat16")
    assert "threads" not in advice(config, CPU)
    assert "2 processes of 4 threads share 4 CPUs (OMP_NUM_THREADS=2)" in advice(config, CPU, 2)
    assert "data.window (now 24)" in advice(config, GPU)


@pytest.mark.parametrize(("limit", "num_warnings"), [(-1.0, 1), (1e9, 0)])
def test_only_a_slow_first_step_is_warned_about(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: float,
    num_warnings: int,
) -> None:
    monkeypatch.setattr("qstar_train.trainer.reporter.SLOW_STEP_S", limit)
    train(config_of(config, steps=2, output=str(tmp_path / "run")))
    assert caplog.text.count("The first step took") == num_warnings

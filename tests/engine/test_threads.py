"""How many threads compute the steps of an engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qstar_infer.checkpoint.save import save_model
from qstar_infer.engine import create
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from tests.parity.toy import make_toy


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[str]:
    before = torch.get_num_threads()
    save_model(make_toy().model, tmp_path / "toy")
    yield str(tmp_path / "toy")
    torch.set_num_threads(before)


def num_threads(**settings: object) -> int:
    create.create_async_engine(EngineArgs.of(device="cpu", num_blocks=16, **settings)).close()
    return torch.get_num_threads()


def test_the_setting_decides(checkpoint: str) -> None:
    assert num_threads(model=checkpoint, threads=3) == 3


def test_a_server_has_no_more_threads_than_cpus(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container with two CPUs of a large machine, torch starts one for each of the machine."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(create, "cpu_limit", lambda: 2)
    torch.set_num_threads(5)
    assert num_threads(model=checkpoint) == 2


def test_omp_num_threads_is_kept(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setattr(create, "cpu_limit", lambda: 2)
    torch.set_num_threads(5)
    assert num_threads(model=checkpoint) == 5


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_a_wrong_number_is_refused(threads: object) -> None:
    with pytest.raises(ConfigError, match="threads must be an integer of at least 1"):
        EngineArgs.of(threads=threads)

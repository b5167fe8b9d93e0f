"""What every test shares: no network, one thread, one cache of the default model."""

import os
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Toys gain nothing from a second thread, and threads that outnumber the free cores wait for each
# other in every small matrix product. The variable is for the processes that tests start.
NUM_THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(NUM_THREADS)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """Undo what an earlier test set."""
    torch.set_num_threads(NUM_THREADS)


@pytest.fixture(scope="session")
def default_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `QSTAR_CACHE` for this run, shared by its workers: the default model is built once."""
    own = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return (own.parent if is_worker else own) / "default-model"

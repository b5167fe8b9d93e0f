"""What every test shares: no network, one thread per worker, one cache of the default model."""

import os
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
# Threads that outnumber the cores wait for each other in every small matrix product.
NUM_THREADS = 1 if IS_WORKER else 2
os.environ["OMP_NUM_THREADS"] = str(NUM_THREADS)  # for the servers and trainers that tests start


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """Undo what an earlier test set."""
    torch.set_num_threads(NUM_THREADS)


@pytest.fixture(scope="session")
def default_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `QSTAR_CACHE` for this run, shared by its workers: the default model is built once."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if IS_WORKER else own) / "default-model"

"""What every test shares: no network, one thread."""

import os

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

"""Settings of all tests: no network, one thread."""

import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Toy models do not get faster with a second thread, and more threads than free cores wait for each
# other in every small matrix product. The variable is for processes that tests start.
NUM_THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(NUM_THREADS)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """Undo the changes of an earlier test."""
    torch.set_num_threads(NUM_THREADS)

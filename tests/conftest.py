"""Settings of all tests: no network, one thread, one device."""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
import torch

from qstar_infer.wavefront.speculation import SpeculationDepth

from .device import DEVICE

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Toy models do not get faster with a second thread, and more threads than free cores wait for each
# other in every small matrix product. The variable is for processes that tests start.
NUM_THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(NUM_THREADS)
if DEVICE == "cpu":  # or a trainer, and device="auto", would take a GPU that is there
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker gets a long one when the others have ended."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_application_is_kept() -> Iterator[None]:
    """Empty FastAPI's caches, which keep the parts of thousands of applications alive.

    A server has one application. With 990 of them, from one file of tests, garbage collection took
    half of the time of all tests.
    """
    yield
    if models := sys.modules.get("fastapi.dependencies.models"):
        for value in vars(models).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    """Undo the changes of an earlier test."""
    torch.set_num_threads(NUM_THREADS)


@pytest.fixture(autouse=True)
def _clock_does_not_choose_the_depth(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draft as far as possible, so that two runs have the same rows and round alike.

    Tests with the marker `learned_depth` let the depth follow measured times.
    """
    if request.node.get_closest_marker("learned_depth") is None:
        monkeypatch.setattr(SpeculationDepth, "prepare", lambda *_: None)

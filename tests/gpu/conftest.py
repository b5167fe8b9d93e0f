"""Tests that only a GPU can run; the others run on one too, with QSTAR_TEST_DEVICE=cuda."""

import pytest

from ..device import DEVICE


@pytest.fixture(autouse=True)
def _needs_a_gpu() -> None:
    if DEVICE == "cpu":
        pytest.skip("needs a GPU: set QSTAR_TEST_DEVICE=cuda")

"""Builds the default model once for all tests of a run, in any worker."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from qstar_infer.checkpoint.default import default_model_directory


def default_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `QSTAR_CACHE` that holds the default model; the first caller of the run builds it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    cache = shared / "default-model"
    with pytest.MonkeyPatch.context() as patch, FileLock(shared / "default-model.lock"):
        patch.setenv("QSTAR_CACHE", str(cache))
        default_model_directory()
    return cache

"""A real engine over the toy model of `tests/parity/toy.py`."""

import importlib.util
from pathlib import Path

import pytest

from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.server.fake_engine import MODEL


def save_toy(directory: Path) -> Path:
    """Save the toy model to a new directory.

    Skips the test while `qstar_infer.engine.create` does not exist.
    """
    if importlib.util.find_spec("qstar_infer.engine.create") is None:
        pytest.skip("qstar_infer.engine.create is missing")
    # Not at the top: they import torch, and tests with the fake engine must not wait for it.
    from qstar_infer.checkpoint.save import save_model
    from tests.parity.toy import make_toy

    save_model(make_toy().model, directory)
    return directory


def create_real_engine(directory: Path) -> Engine:
    """Save the toy model to a new directory and start its engine, under the fake engine's name."""
    args = EngineArgs.of(
        model=str(save_toy(directory)),
        dtype="float32",
        device="cpu",
        served_model_name=MODEL,
        num_blocks=512,
    )
    from qstar_infer.engine.create import create_async_engine

    return create_async_engine(args)

"""Every architecture that loads computes what transformers' own forward pass computes."""

from pathlib import Path

import pytest

from .architectures import ARCHITECTURES, TOLERANCE, difference, make_config


@pytest.mark.parametrize("model_type", ARCHITECTURES.split())
def test_architecture(tmp_path: Path, model_type: str) -> None:
    assert difference(make_config(model_type), tmp_path) < TOLERANCE

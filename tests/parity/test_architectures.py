"""Every architecture that loads computes what transformers' own forward pass computes."""

from pathlib import Path

import pytest

from .architectures import ARCHITECTURES, TOLERANCE, difference, make_config, reason_to_skip


# GPTBigCode compiles three functions when an older transformers imports it.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("model_type", ARCHITECTURES.split())
def test_architecture(tmp_path: Path, model_type: str) -> None:
    if reason := reason_to_skip(model_type):
        pytest.skip(reason)
    assert difference(make_config(model_type), tmp_path) < TOLERANCE

"""Settings that ask for more memory than there is are refused before anything is allocated."""

from typing import Any

import pytest

from qstar_infer import LLM
from qstar_infer.config import EngineConfig
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel

from ..parity.toy import make_toy


@pytest.fixture(scope="module")
def model() -> QuietStarModel:
    return make_toy().model


@pytest.mark.parametrize(
    "settings",
    [
        {"num_blocks": 10**11},
        {"num_blocks": 10**9, "block_size": 10**9},
        # 10**20 bytes of keys and values would overflow a size in C.
        {"num_blocks": 10**18},
    ],
)
def test_a_pool_that_does_not_fit(model: QuietStarModel, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"GiB are free\. Lower num_blocks"):
        LLM(model=model, **settings)


def test_lanes_that_do_not_fit(model: QuietStarModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # 3,000 lanes of 260 logits of 4 bytes are 3.1 MB.
    settings: dict[str, Any] = {"max_num_seqs": 1000, "max_drafts": 1000, "scoring_positions": 1000}
    monkeypatch.setattr("qstar_infer.engine.sizing._free_bytes", lambda _: 3_000_000)
    with pytest.raises(ConfigError, match="logits of 3000 lanes"):
        LLM(model=model, num_blocks=10, **settings)
    monkeypatch.setattr("qstar_infer.engine.sizing._free_bytes", lambda _: 4_000_000)
    LLM(model=model, num_blocks=10, **settings)


@pytest.mark.parametrize("name", ["max_num_seqs", "max_drafts", "scoring_positions"])
@pytest.mark.parametrize("value", [2**20 + 1, 10**20])
def test_numbers_that_no_machine_can_use(name: str, value: int) -> None:
    limits: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=f"{name} must be at most 1048576, got {value}"):
        EngineConfig(**limits)

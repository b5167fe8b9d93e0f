"""How `EngineArgs` affect the engine that is created."""

from pathlib import Path
from typing import Any

import pytest

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

GOLDEN_A = str(Path(__file__).parents[1] / "golden" / "A" / "checkpoint")


def test_num_thought_tokens_overrides_the_checkpoint() -> None:
    engine = create_async_engine(
        EngineArgs.of(model=GOLDEN_A, dtype="float32", device="cpu", num_thought_tokens=2)
    )
    try:
        assert engine.model.num_thought_tokens == 2
        assert "thinks 2 tokens" in engine.model.description
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"quantization": "int4"}, "quantization='int4' is unknown"),
        ({"revision": "v1"}, "revision='v1' was given"),
        ({"num_thought_tokens": 0}, "num_thought_tokens=0 must be"),
    ],
)
def test_no_engine_starts_if_the_loader_rejects_an_option(
    option: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        create_async_engine(EngineArgs.of(model=GOLDEN_A, device="cpu", **option))

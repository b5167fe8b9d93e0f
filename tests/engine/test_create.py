"""How `EngineArgs` affect the engine that is created."""

from pathlib import Path
from typing import Any

import pytest

from qstar_infer import LLM
from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

from ..parity.toy import make_toy

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


def test_a_thought_longer_than_requests_may_ask_for_is_refused() -> None:
    """With 100,000 tokens the server started, and a request for one token got nothing in 60 s."""
    with pytest.raises(ConfigError, match="is 100000, but max_thought_tokens is 64"):
        EngineArgs.of(num_thought_tokens=100_000)
    assert EngineArgs.of(num_thought_tokens=65, max_thought_tokens=65).num_thought_tokens == 65


@pytest.mark.parametrize(
    "option",
    [
        {"runner": "llama.cpp"},
        {"dtype": "bfloat16"},
        {"device": "cuda"},
        {"quantization": "int8-cpu"},
        {"revision": "main"},
        {"num_thought_tokens": 2},
        {"thought_vectors": "literal"},
        {"tokenizer": "elsewhere"},
        {"ignore_thought_parts": True},
    ],
)
def test_settings_for_loading_are_not_ignored_with_a_loaded_model(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ConfigError, match=f"{name}=.* but a loaded model was given"):
        LLM(model=make_toy().model, **option)


def test_settings_that_say_what_a_loaded_model_is_change_nothing() -> None:
    model = make_toy().model.to("cpu")
    assert LLM(model=model, dtype="float32", device="cpu").model is model


def test_other_settings_apply_to_a_loaded_model() -> None:
    llm = LLM(model=make_toy().model, num_blocks=9, served_model_name="x", generation_config="none")
    assert (llm.model_info.name, llm.stats().num_blocks) == ("x", 9)

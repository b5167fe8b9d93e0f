"""A model that is cast by torch, before or after an engine is made of it."""

from collections.abc import Callable

import pytest
import torch

from qstar_infer import LLM, SamplingParams
from qstar_infer.errors import CheckpointError, ConfigError, RequestFailedError
from qstar_infer.kernels.quantised_linear import FORMATS, quantise_layers
from qstar_infer.model.quiet_star import QuietStarModel

from ..parity.toy import make_toy

PROMPT = [5, 6, 7, 8]
PARAMS = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)
CASTS: dict[str, Callable[[QuietStarModel], object]] = {
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "to": lambda model: model.to(torch.float16),
    "to device and dtype": lambda model: model.to("cpu", torch.bfloat16),
    "backbone": lambda model: model.backbone.half(),
}


def token_ids(llm: LLM) -> list[int]:
    return llm.generate([PROMPT], PARAMS)[0].outputs[0].token_ids


def make(quantization: str | None = None) -> QuietStarModel:
    model = make_toy(intermediate_size=64).model.cpu()
    if quantization is not None:
        quantise_layers(model.backbone, quantization, kept=[model.backbone.lm_head])
    return model


@pytest.mark.parametrize("quantization", [None, *FORMATS])
@pytest.mark.parametrize("name", CASTS)
def test_an_engine_of_a_cast_model_gives_the_tokens_of_the_oracle(
    name: str, quantization: str | None
) -> None:
    model = make(quantization)
    CASTS[name](model)
    (want,) = model.think(torch.tensor([PROMPT])).logits[:, -1].argmax(-1).tolist()
    assert token_ids(LLM(model=model))[0] == want


@pytest.mark.parametrize("name", CASTS)
def test_thought_parts_keep_their_numbers(name: str) -> None:
    model, untouched = make(), make()
    CASTS[name](model)
    for got, want in zip(
        model.thinking_parts.parameters(), untouched.thinking_parts.parameters(), strict=True
    ):
        assert got.dtype == torch.float32
        assert torch.equal(got, want)


@pytest.mark.parametrize("name", CASTS)
def test_an_engine_says_that_its_model_was_cast_later(name: str) -> None:
    model = make()
    llm = LLM(model=model)
    before = token_ids(llm)
    CASTS[name](model)
    with pytest.raises(RequestFailedError, match=r"changed from torch.float32 .* create a new one"):
        token_ids(llm)
    model.float()
    assert token_ids(llm)[0] == before[0]
    llm.close()


def test_a_cast_to_the_same_dtype_changes_nothing() -> None:
    model = make()
    llm = LLM(model=model)
    before = token_ids(llm)
    model.float().to("cpu")
    assert token_ids(llm) == before


def test_float64_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"float64, and engines compute in float32.*float\(\)"):
        LLM(model=make().double())


@pytest.mark.parametrize("name", FORMATS)
def test_rounded_layers_cannot_be_moved(name: str) -> None:
    model = make(name)
    with pytest.raises(ConfigError, match=f"'{name}' cannot be moved to meta"):
        model.to("meta")


@pytest.mark.parametrize("name", FORMATS)
def test_rounded_layers_have_no_state(name: str) -> None:
    """Without the rounded weights, what is saved would be silently incomplete."""
    model = make(name)
    for save in (model.state_dict, model.backbone.state_dict):
        with pytest.raises(CheckpointError, match=f"'{name}' cannot be saved.*'none'"):
            save()

"""Defaults of a request: the checkpoint's settings, then those of the class."""

import dataclasses

import pytest

from qstar_infer import LLM, SamplingParams
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_defaults import SamplingDefaults

from ..parity.slow_loop import SlowLoop
from ..parity.toy import EOS, make_toy

PROMPT = [72, 105, 33, 1, 200, 14, 9]


def test_given_values_override_the_checkpoint_and_its_values_the_class_defaults() -> None:
    defaults = SamplingDefaults(temperature=0.6, top_k=20, thought_temperature=0.5)
    params = defaults.params(temperature=0.9, max_tokens=3)
    assert params == SamplingParams(temperature=0.9, top_k=20, max_tokens=3)
    assert defaults.params() == SamplingParams(temperature=0.6, top_k=20)
    assert SamplingDefaults().params() == SamplingParams()


@pytest.mark.parametrize(
    ("checkpoint", "temperature", "given", "resolved"),
    [
        (0.5, 1.0, 0.8, 0.8),  # the request's value wins
        (0.5, 0.0, 0.8, 0.8),  # also if the text is greedy
        (0.5, 1.0, 0.0, 0.0),
        (0.5, 0.0, None, 0.0),
        (0.5, 1e-7, None, 0.0),  # counts as greedy
        (0.5, 0.2, None, 0.5),
        (0.0, 0.2, None, 0.0),  # 0 is a value, not a missing one
        (None, 0.2, None, 1.0),
    ],
)
def test_thought_temperature_is_resolved(
    checkpoint: float | None, temperature: float, given: float | None, resolved: float
) -> None:
    defaults = SamplingDefaults(thought_temperature=checkpoint)
    params = SamplingParams(temperature=temperature, thought_temperature=given)
    assert defaults.resolve_thought_temperature(params) == resolved


# --- from a checkpoint to LLM -------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> QuietStarModel:
    """A checkpoint that recommends greedy text, and greedy thoughts for sampled text."""
    model = make_toy().model
    model.backbone.generation_config.temperature = 0.0
    model.backbone.generation_config.repetition_penalty = 1.5
    assert model.config is not None
    model.config = dataclasses.replace(model.config, thought_temperature=0.0)
    return model


@pytest.fixture(scope="module")
def llm(model: QuietStarModel) -> LLM:
    return LLM(model=model)


@pytest.fixture(scope="module")
def plain_llm(model: QuietStarModel) -> LLM:
    return LLM(model=model, generation_config="none")


def tokens_and_thoughts(llm: LLM, params: SamplingParams | None) -> list[tuple[int, list[int]]]:
    output = llm.generate([PROMPT], params)[0].outputs[0]
    return [(thought.token_id, thought.thought_token_ids) for thought in output.thoughts]


def test_the_checkpoints_settings_are_used_without_params(llm: LLM) -> None:
    recommended = SamplingParams(temperature=0.0, repetition_penalty=1.5)
    assert llm.default_sampling_params() == recommended
    assert tokens_and_thoughts(llm, None) == tokens_and_thoughts(llm, recommended)


def test_given_params_are_used_unchanged(llm: LLM, plain_llm: LLM) -> None:
    """The checkpoint's penalty is not added to params that the caller created."""
    params = SamplingParams(temperature=0.0)
    assert tokens_and_thoughts(llm, params) == tokens_and_thoughts(plain_llm, params)
    assert tokens_and_thoughts(llm, params) != tokens_and_thoughts(llm, None)


def test_the_checkpoint_sets_the_temperature_of_thoughts(llm: LLM, plain_llm: LLM) -> None:
    def sampled(thought_temperature: float | None) -> SamplingParams:
        return SamplingParams(seed=5, max_tokens=6, thought_temperature=thought_temperature)

    greedy = tokens_and_thoughts(llm, sampled(0.0))
    hot = tokens_and_thoughts(llm, sampled(1.0))
    assert greedy != hot
    assert tokens_and_thoughts(llm, sampled(None)) == greedy
    assert tokens_and_thoughts(plain_llm, sampled(None)) == hot


def test_greedy_requests_think_greedily_whatever_the_checkpoint_says() -> None:
    toy = make_toy()
    assert toy.model.config is not None
    hot = dataclasses.replace(toy.model.config, thought_temperature=2.0)
    model = QuietStarModel(
        toy.model.backbone, toy.model.tokenizer, thought_parts=toy.model.thought_parts, config=hot
    )
    llm = LLM(model=model)
    assert llm.model_info.sampling_defaults.thought_temperature == 2.0
    got = tokens_and_thoughts(llm, SamplingParams(temperature=0.0, max_tokens=6))
    slow = SlowLoop(toy.model, toy.stock).generate(
        PROMPT,
        SamplingParams(temperature=0.0, thought_temperature=0.0, max_tokens=6),
        num_thought_tokens=3,
        seed=0,
        eos=EOS,
    )
    assert slow.num_firm is None, "choose another prompt for this test"
    assert got == list(zip(slow.token_ids, slow.thoughts, strict=True))


def test_generation_config_none_ignores_the_checkpoints_settings(plain_llm: LLM) -> None:
    assert plain_llm.default_sampling_params() == SamplingParams()
    assert plain_llm.model_info.sampling_defaults == SamplingDefaults()

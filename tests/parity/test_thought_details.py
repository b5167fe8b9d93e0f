"""The alternatives of a thought are those of the definition; asking for them changes nothing."""

from dataclasses import replace
from typing import Any

import pytest

from qstar_infer.llm import LLM
from qstar_infer.outputs import CompletionOutput, LikelyToken, Thought
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from ..tolerances import TOY_LOGPROBS
from .slow_loop import Numbers, SlowLoop
from .toy import EOS, Toy, make_toy

PROMPT = [60, 61, 62, 7, 99]
NUM_TOP = 5
BEHIND = ThinkingRule(where="behind", tokens=tuple(range(0, 256, 3)))
CASES: dict[str, dict[str, Any]] = {
    "everywhere": {"thinking": EVERYWHERE},
    "behind some tokens": {"thinking": BEHIND},
    "where the gate says": {},
    "without thoughts": {"num_thought_tokens": 0},
    "with a threshold": {"thinking": EVERYWHERE, "think_threshold": 0.2},
    "with penalties": {"thinking": EVERYWHERE, "repetition_penalty": 1.5, "top_k": 3},
    "with few tokens allowed": {"allowed_token_ids": tuple(range(0, 250, 7))},
}


@pytest.fixture(scope="module")
def toy() -> Toy:
    return make_toy(thinking=ThinkingRule(where="gate"))


def params_of(case: str, temperature: float, **fields: Any) -> SamplingParams:
    return SamplingParams(
        max_tokens=12, seed=3, ignore_eos=True, temperature=temperature, **CASES[case] | fields
    )


def generate(toy: Toy, params: SamplingParams, speculation: str | int) -> CompletionOutput:
    llm = LLM(model=toy.model, speculation=speculation, num_blocks=64)
    output = llm.generate([PROMPT], params)[0].outputs[0]
    llm.close()
    return output


def compare(got: list[LikelyToken] | None, want: Numbers) -> None:
    """Rounding may change the order of near ties, but not the values at each rank."""
    assert got is not None
    logprobs = [each.logprob for each in got]
    assert logprobs == pytest.approx(sorted(want)[::-1][:NUM_TOP], abs=TOY_LOGPROBS)
    assert logprobs == pytest.approx([want[each.token_id] for each in got], abs=TOY_LOGPROBS)
    assert logprobs == sorted(logprobs, reverse=True)
    assert len({each.token_id for each in got}) == NUM_TOP


def check_own_logprob(thought: Thought) -> None:
    """If the chosen token is among the alternatives, its numbers are the same bit by bit."""
    for own, likely in (
        (thought.logprob, thought.top_logprobs),
        (thought.base_logprob, thought.base_top_logprobs),
    ):
        for each in likely or []:
            assert each.token_id != thought.token_id or each.logprob == own


@pytest.mark.parametrize("speculation", ["off", 3])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_alternatives_are_those_of_the_definition(
    toy: Toy, case: str, temperature: float, speculation: str | int
) -> None:
    params = params_of(case, temperature, thought_top_logprobs=NUM_TOP)
    got = generate(toy, params, speculation)
    want = SlowLoop(toy.model, toy.stock).generate(
        PROMPT,
        params,
        num_thought_tokens=toy.model.num_thought_tokens
        if params.num_thought_tokens is None
        else params.num_thought_tokens,
        seed=3,
        eos=EOS,
    )
    count = want.firm_tokens()
    assert count > 0
    assert got.token_ids[:count] == want.token_ids[:count]
    for index, thought in enumerate(got.thoughts[:count]):
        compare(thought.top_logprobs, want.distributions[index])
        compare(thought.base_top_logprobs, want.base_distributions[index])
        check_own_logprob(thought)
        if not thought.thought_token_ids:
            assert thought.top_logprobs == thought.base_top_logprobs


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("logprobs", [None, 0, 2, 9])
def test_asking_changes_nothing_else(toy: Toy, case: str, logprobs: int | None) -> None:
    params = params_of(case, 1.0, logprobs=logprobs)
    plain = generate(toy, params, 3)
    asked = generate(toy, replace(params, thought_top_logprobs=NUM_TOP, show_passes=True), 3)
    without = [
        replace(thought, top_logprobs=None, base_top_logprobs=None, passes=None)
        for thought in asked.thoughts
    ]
    assert replace(asked, thoughts=without) == plain
    assert all(thought.passes is not None for thought in asked.thoughts)
    assert all(len(thought.top_logprobs or []) == NUM_TOP for thought in asked.thoughts)


def test_what_was_not_asked_for_is_no_part_of_an_entry(toy: Toy) -> None:
    plain = generate(toy, params_of("everywhere", 1.0), 3).thoughts[0]
    assert (plain.top_logprobs, plain.base_top_logprobs, plain.passes) == (None, None, None)
    assert list(plain.as_entry()) == [
        *("token_id", "token", "thought", "thought_token_ids", "mixing_weight"),
        *("logprob", "base_logprob"),
    ]
    params = params_of("everywhere", 1.0, thought_top_logprobs=1, show_passes=True)
    entry = generate(toy, params, 3).thoughts[0].as_entry()
    assert list(entry)[-3:] == ["top_logprobs", "base_top_logprobs", "passes"]
    assert list(entry["top_logprobs"][0]) == ["token", "token_id", "logprob"]
    assert list(entry["passes"]) == ["first", "last", "draft", "dropped"]
    assert list(entry["passes"]["draft"]) == ["token", "token_id", "is_fed", "is_kept"]


def test_zero_alternatives_are_empty_lists(toy: Toy) -> None:
    thought = generate(toy, params_of("everywhere", 1.0, thought_top_logprobs=0), 3).thoughts[0]
    assert (thought.top_logprobs, thought.base_top_logprobs) == ([], [])

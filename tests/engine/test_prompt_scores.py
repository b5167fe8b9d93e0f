"""Prompt scores equal the oracle's, for all pool and chunk sizes."""

from typing import Any, Literal

import pytest
import torch

from qstar_infer import LLM, RequestOutput, SamplingParams
from qstar_infer.config import EngineConfig
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest

from ..parity.toy import make_toy
from ..tolerances import NEAR_TIE, TOY_LOGPROBS

PROMPT = [72, 105, 33, 1, 200, 14, 9, 44, 45, 46, 47]


@pytest.mark.parametrize("num_thought_tokens", [0, 1, 3])
@pytest.mark.parametrize(
    "engine",
    [
        {},
        {"scoring_positions": 3},
        {"scoring_positions": 4, "max_rows": 2},
        {"block_size": 4, "num_blocks": 8},
    ],
)
def test_prompt_scores_equal_the_oracles(engine: dict[str, Any], num_thought_tokens: int) -> None:
    toy = make_toy()
    llm = LLM(model=toy.model, **engine)
    params = SamplingParams(
        temperature=0.7,
        thought_temperature=0.9,
        seed=5,
        max_tokens=2,
        num_thought_tokens=num_thought_tokens,
        prompt_logprobs=4,
    )
    output = llm.generate([PROMPT], params)[0]
    trace = toy.model.think(
        torch.tensor([PROMPT]), num_thought_tokens=num_thought_tokens, temperature=0.9, seed=5
    )
    logprobs = trace.logits[0].log_softmax(-1)
    assert output.prompt_logprobs is not None
    assert output.prompt_logprobs[0] is None
    assert len(output.prompt_logprobs) == len(PROMPT)
    for anchor, entry in enumerate(output.prompt_logprobs[1:]):
        assert entry is not None
        least = float(logprobs[anchor].topk(4).values[-1])
        others = set(entry) - {PROMPT[anchor + 1]}
        assert 3 <= len(others) <= 4
        # Rounding may swap the fourth and the fifth token.
        assert all(float(logprobs[anchor, other]) > least - NEAR_TIE for other in others)
        for token_id, logprob in entry.items():
            want = float(logprobs[anchor, token_id])
            assert logprob.logprob == pytest.approx(want, abs=TOY_LOGPROBS)
    assert output.num_prompt_thought_tokens == num_thought_tokens * (len(PROMPT) - 1)
    llm.close()


@pytest.mark.parametrize("scoring_positions", [1, 17, 40, 128])
def test_a_longer_prompt_is_scored_alike_in_chunks_of_any_size(scoring_positions: int) -> None:
    """Enough lanes at once for attention to split them (`with_few_lanes`)."""
    toy = make_toy()
    prompt = [(7 * index) % 250 for index in range(40)]
    trace = toy.model.think(torch.tensor([prompt]), num_thought_tokens=2, temperature=0.9, seed=5)
    logprobs = trace.logits[0].log_softmax(-1)
    params = SamplingParams(
        seed=5, max_tokens=0, prompt_logprobs=0, num_thought_tokens=2, thought_temperature=0.9
    )
    llm = LLM(model=toy.model, scoring_positions=scoring_positions)
    scores = llm.generate([prompt], params)[0].prompt_logprobs
    assert scores is not None
    for anchor, entry in enumerate(scores[1:]):
        assert entry is not None
        (score,) = entry.values()
        want = float(logprobs[anchor, prompt[anchor + 1]])
        assert score.logprob == pytest.approx(want, abs=TOY_LOGPROBS)
    llm.close()


def test_prompt_scoring_does_not_change_the_output() -> None:
    llm = LLM(model=make_toy().model)
    plain = SamplingParams(max_tokens=8, seed=1, ignore_eos=True)
    scored = SamplingParams(max_tokens=8, seed=1, ignore_eos=True, prompt_logprobs=0)
    outputs = llm.generate([PROMPT, PROMPT], [plain, scored])
    assert outputs[0].outputs[0].token_ids == outputs[1].outputs[0].token_ids


def test_a_prompt_can_be_scored_without_generating() -> None:
    llm = LLM(model=make_toy().model)
    params = SamplingParams(max_tokens=0, prompt_logprobs=1)
    output = llm.generate([PROMPT, PROMPT[:1]], params)
    assert [len(o.prompt_logprobs or []) for o in output] == [len(PROMPT), 1]
    assert output[0].outputs[0].finish_reason == "length"
    assert output[0].outputs[0].token_ids == []
    llm.close()


def test_a_prompt_with_several_completions_is_scored_once() -> None:
    llm = LLM(model=make_toy().model, max_num_seqs=2)
    params = SamplingParams(n=3, max_tokens=3, seed=4, prompt_logprobs=1)
    output = llm.generate([PROMPT], params)[0]
    assert output.num_prompt_thought_tokens == 3 * (len(PROMPT) - 1)
    assert len({tuple(c.token_ids) for c in output.outputs}) > 1
    llm.close()


@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_an_output_does_not_end_before_the_prompt_is_scored(
    speculation: Literal["auto", "off"],
) -> None:
    """A confident last anchor decides at once. If that ended the output, the thoughts at earlier
    positions used to be dropped, and the request waited for their scores forever."""
    engine = LLMEngine(make_toy().model, EngineConfig(speculation=speculation))
    prompt = [197, 215, 20, 132, 248]
    params = SamplingParams(
        temperature=0.0, seed=1234, max_tokens=1, prompt_logprobs=1, think_threshold=0.159
    )
    request = EngineRequest(request_id="r", prompt_token_ids=prompt, params=params)
    engine.add_request(engine.admission.admit(request))
    deltas: list[RequestOutput] = []
    for _ in range(20):
        for news in engine.step():
            assert isinstance(news, RequestOutput)
            deltas.append(news)
    assert [len(delta.prompt_logprobs or []) for delta in deltas] == [len(prompt)]
    assert [len(thought.thought_token_ids) for thought in deltas[0].outputs[0].thoughts] == [0]
    assert deltas[0].finished
    engine.check_idle()

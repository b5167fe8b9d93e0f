"""Talk heads of other shapes than the paper's: oracle and engine against the slow loop."""

import numpy as np
import pytest
import torch

from qstar_infer.llm import LLM
from qstar_infer.model.config import TalkHeadConfig
from qstar_infer.sampling_params import SamplingParams

from ..tolerances import TOY_LOGITS, TOY_LOGPROBS, TOY_MIXING_WEIGHT
from .slow_loop import SlowLoop
from .toy import EOS, make_toy

HEADS = [
    TalkHeadConfig(
        hidden_size=32,
        layers=((32, 64), (32, 32), (1, 32)),
        biases=(True, True, False),
        sigmoid=True,
    ),
    TalkHeadConfig(hidden_size=32, layers=((64, 64), (1, 64)), biases=(True, True), sigmoid=True),
    TalkHeadConfig(hidden_size=32, layers=((24, 64), (1, 24)), biases=(True, True)),
]
PROMPT = [72, 105, 33, 1, 200, 14, 9]


@pytest.mark.parametrize("talk_head", HEADS)
def test_oracle_and_engine_equal_the_definition(talk_head: TalkHeadConfig) -> None:
    toy = make_toy(talk_head=talk_head)
    slow = SlowLoop(toy.model, toy.stock)
    params = SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True, logprobs=0, seed=1)
    want = slow.generate(PROMPT, params, num_thought_tokens=3, seed=1, eos=EOS)
    num_firm = want.firm_tokens()
    assert num_firm >= 4, "the rest may be changed by rounding"

    trace = toy.model.think(torch.tensor([PROMPT + want.token_ids]))
    logprobs = trace.logits.log_softmax(-1)[0, len(PROMPT) - 1 : -1]
    for index in range(num_firm):
        expected = want.distributions[index]
        finite = np.isfinite(expected)
        np.testing.assert_allclose(
            logprobs[index].cpu().numpy()[finite], expected[finite], rtol=0, atol=TOY_LOGITS
        )

    for speculation in ("off", "auto"):
        llm = LLM(model=toy.model, num_blocks=40, speculation=speculation)
        got = llm.generate([PROMPT], params)[0].outputs[0]
        assert got.token_ids[:num_firm] == want.token_ids[:num_firm]
        for index in range(num_firm):
            thought = got.thoughts[index]
            assert thought.thought_token_ids == want.thoughts[index]
            assert thought.mixing_weight == pytest.approx(
                want.mixing_weights[index], abs=TOY_MIXING_WEIGHT
            )
            assert thought.logprob == pytest.approx(want.logprobs[index], abs=TOY_LOGPROBS)

"""Without a thought, or with mixing weight 0, the model equals the plain language model."""

import pytest
import torch
from transformers import GenerationMixin

from qstar_infer import LLM, SamplingParams
from qstar_infer.model.thought_parts import ConstantTalkHead

from .toy import ARCHITECTURES, END_ID, START_ID, Toy, make_toy

PROMPTS = [[72, 105, 33, 1, 200, 14, 9], [5], [90, 91, 92, 93]]


def transformers_greedy(toy: Toy, prompt: list[int], count: int) -> list[int]:
    assert isinstance(toy.stock, GenerationMixin)
    with torch.no_grad():
        output = toy.stock.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            suppress_tokens=[START_ID, END_ID],
            eos_token_id=None,
            pad_token_id=0,
        )
    ids: list[int] = output[0, len(prompt) :].tolist()
    return ids


@pytest.mark.parametrize("speculation", ["auto", "off"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("way", ["no thoughts", "weight 0"])
def test_greedy_text_equals_that_of_transformers(
    way: str, architecture: str, speculation: str
) -> None:
    toy = make_toy(architecture)
    params = SamplingParams(temperature=0.0, max_tokens=20, ignore_eos=True)
    if way == "no thoughts":
        params = SamplingParams(
            temperature=0.0, max_tokens=20, ignore_eos=True, num_thought_tokens=0
        )
    else:
        assert toy.model.thought_parts is not None
        toy.model.thought_parts.talk_head = ConstantTalkHead(32, 0.0)
    llm = LLM(model=toy.model, speculation=speculation)
    for prompt, output in zip(PROMPTS, llm.generate(PROMPTS, params), strict=True):
        assert output.outputs[0].token_ids == transformers_greedy(toy, prompt, 20)
    assert llm.stats().rejected == 0


def test_a_skipped_thought_has_no_rows_and_gives_the_base_token() -> None:
    toy = make_toy()
    params = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True, think_threshold=0.0)
    llm = LLM(model=toy.model)
    output = llm.generate([PROMPTS[0]], params)[0].outputs[0]
    assert output.token_ids == transformers_greedy(toy, PROMPTS[0], 12)
    assert all(thought.thought_token_ids == [] for thought in output.thoughts)
    assert llm.stats().thought_tokens == 0

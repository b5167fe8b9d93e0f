"""A model with learned positions: thoughts use the table too, and never exceed it."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from qstar_infer import LLM, ContextLengthError, QuietStarModel, RequestError, SamplingParams
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thought_parts import ThoughtParts

from .toy import byte_tokenizer


@pytest.fixture
def model() -> QuietStarModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=260, n_positions=24, n_embd=32, n_layer=2, n_head=2)
    backbone = GPT2LMHeadModel(config).eval()
    parts = ThoughtParts.fresh(torch.randn(32), torch.randn(32))
    return QuietStarModel(
        backbone,
        byte_tokenizer(),
        thought_parts=parts,
        config=QuietStarConfig(num_thought_tokens=3),
    ).eval()


def test_the_context_leaves_room_for_the_last_thought(model: QuietStarModel) -> None:
    llm = LLM(model=model)
    params = SamplingParams(temperature=0.0, max_tokens=None, ignore_eos=True)
    output = llm.generate([[1, 2, 3]], params)[0].outputs[0]
    assert len(output.token_ids) == 24 - (3 + 1) - 3
    too_long = SamplingParams(max_tokens=20)
    with pytest.raises(ContextLengthError, match="maximum context length is 20 tokens"):
        llm.generate([[1, 2, 3]], too_long)


def test_thinking_past_the_position_table_is_rejected(model: QuietStarModel) -> None:
    model.think(torch.ones(1, 19, dtype=torch.long))
    with pytest.raises(RequestError, match="reach position 24"):
        model.think(torch.ones(1, 20, dtype=torch.long))

"""Small random models that think, and copies of their backbones with stock attention."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from ..device import DEVICE

EOS = 256
START_ID, END_ID = 257, 258
VOCAB_SIZE = 260
"""256 bytes, end of sequence, two delimiters, and one unused row."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 5},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
}


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A model of ours on the test's device; its backbone with stock attention, on the CPU."""

    model: QuietStarModel
    stock: PreTrainedModel


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte, so that most characters outside of ASCII have several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: index for index, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    fast.add_special_tokens({"additional_special_tokens": ["<|startthought|>", "<|endthought|>"]})
    return fast


def make_toy(
    architecture: str = "llama",
    *,
    num_thought_tokens: int = 3,
    intermediate_size: int = 48,
    seed: int = 0,
    ties_embeddings: bool = False,
    talk_head: TalkHeadConfig | None = None,
    thinking: ThinkingRule = EVERYWHERE,
) -> Toy:
    """A two-layer model whose mixing weights are far from 0, so that thoughts have an effect.

    Its gate, if the rule asks one, opens at about half of the tokens.
    """
    config = AutoConfig.for_model(
        architecture,
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        intermediate_size=intermediate_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.25,
        eos_token_id=EOS,
        bos_token_id=None,
        pad_token_id=None,
        tie_word_embeddings=ties_embeddings,
        **ARCHITECTURES[architecture],
    )
    torch.manual_seed(seed)
    stock = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()
    parts = ThoughtParts(32, talk_head=talk_head, has_gate=thinking.where == "gate")
    with torch.no_grad():
        parts.start_thought.normal_(std=0.3)
        parts.end_thought.normal_(std=0.3)
        for parameter in parts.talk_head.parameters():
            parameter.normal_(std=0.25)
        if parts.gate is not None:
            parts.gate.weight.normal_(std=0.25)
            states = stock.model(torch.arange(0, 256, 4)[None]).last_hidden_state[0]
            parts.gate.bias.copy_(parts.gate.bias - parts.gate.score(states).quantile(0.5))
    model = QuietStarModel(
        copy.deepcopy(stock),
        byte_tokenizer(),
        thought_parts=parts,
        config=QuietStarConfig(
            num_thought_tokens=num_thought_tokens,
            thinking=thinking,
            start_thought_token_id=START_ID,
            end_thought_token_id=END_ID,
        ),
    )
    return Toy(model=model.eval().to(DEVICE), stock=stock)

"""A stand-in for the packaged lab model: its tokenizer, template and rule, with random weights."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qstar_infer.checkpoint.save import save_model
from qstar_infer.checkpoint.scratch.config import VocabularyConfig
from qstar_infer.checkpoint.scratch.tokenizer import make_tokenizer
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.thinking_rule import ThinkingRule
from qstar_lab.chat import chat_template
from qstar_lab.tasks.digit_chains import DigitChains

WIDTH = 16


def lab_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each token of the digit chains, and their chat template."""
    task = DigitChains()
    return make_tokenizer(
        VocabularyConfig(
            tokens=task.tokens,
            pattern=task.pattern,
            eos_token=task.tokens[0],
            unk_token=task.tokens[1],
            chat_template=chat_template(task.name),
        )
    )


def save_toy_lab(directory: Path, *, seed: int = 0) -> Path:
    """Save the model to a new directory."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(DigitChains().tokens),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
        tie_word_embeddings=False,
    )
    parts = ThoughtParts(WIDTH)
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.normal_(std=0.3)
    model = QuietStarModel(
        LlamaForCausalLM(config).float().eval(),
        lab_tokenizer(),
        thought_parts=parts,
        config=QuietStarConfig(
            num_thought_tokens=16, thinking=ThinkingRule(where="behind", tokens=("?",))
        ),
    )
    save_model(model, directory)
    return directory

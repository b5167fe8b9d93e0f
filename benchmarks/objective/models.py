"""Inputs of the benchmark: a small random model, a batch, and fixed thoughts."""

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from benchmarks.objective.quadratic import StockModel
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_train.sampling import Pick

HIDDEN = 256
VOCAB = 4096
DELIMITER_IDS = (VOCAB - 2, VOCAB - 1)


def make_model(num_thought_tokens: int) -> QuietStarModel:
    """A Llama with 5.2 million weights, always the same ones, float32, in training mode."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.05,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    parts = ThoughtParts(HIDDEN)
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.normal_(std=0.05)  # with a zero talk head, thoughts would have no effect
    return QuietStarModel(
        AutoModelForCausalLM.from_config(config).float(),  # type: ignore[no-untyped-call]
        PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a"))
        ),
        thought_parts=parts,
        config=QuietStarConfig(
            num_thought_tokens=num_thought_tokens,
            start_thought_token_id=DELIMITER_IDS[0],
            end_thought_token_id=DELIMITER_IDS[1],
        ),
    ).train()


def as_stock(model: QuietStarModel) -> StockModel:
    """The same weights with the attention of transformers. Do not use `model` afterwards."""
    model.backbone.set_attn_implementation("sdpa")
    return StockModel(
        backbone=model.backbone,
        parts=model.thinking_parts,
        num_thought_tokens=model.num_thought_tokens,
        delimiter_ids=model.delimiter_ids,
    )


def make_batch(seq: int) -> tuple[Tensor, Tensor]:
    """One row of random tokens and its attention mask, `[1, seq]`, int64."""
    generator = torch.Generator().manual_seed(seq)
    ids = torch.randint(0, VOCAB - 2, (1, seq), generator=generator)
    return ids, torch.ones_like(ids)


def fixed_thoughts() -> Pick:
    """Thought tokens that are a function of stream index and anchor.

    Greedy thoughts would not be the same in all ways: among thousands of picks there are near-ties,
    which rounding decides. The losses could then not be compared.
    """

    def pick(logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        del logits
        return (anchors * 2654435761 + stream_index * 40503) % (VOCAB - 2)

    return pick

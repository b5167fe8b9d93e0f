"""What the makers of small checkpoints share. Nothing of the package is used here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

HIDDEN = 32
NUM_BASE_TOKENS = 257
"""256 bytes and the end of sequence."""
START_ID, END_ID = NUM_BASE_TOKENS, NUM_BASE_TOKENS + 1
DELIMITERS = ["<|startthought|>", "<|endthought|>"]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A checkpoint that a maker wrote."""

    directory: Path
    backbone: PreTrainedModel
    """The same weights, with transformers' own attention."""
    tensors: dict[str, Tensor]
    """The tensors that are not the backbone's, under the names in the file."""


def make_backbone(
    model_type: str, *, num_rows: int = NUM_BASE_TOKENS + 2, seed: int = 0, **settings: Any
) -> PreTrainedModel:
    """A random model with large weights, so that thoughts change the logits a lot."""
    config = AutoConfig.for_model(
        model_type,
        vocab_size=num_rows,
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.25,
        eos_token_id=256,
        bos_token_id=None,
        pad_token_id=None,
        **{"tie_word_embeddings": False} | settings,
    )
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.float().eval()
    return model


def make_tokenizer(*, with_delimiters: bool) -> PreTrainedTokenizerFast:
    """One token for each byte, then the end of sequence."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = models.BPE(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[])
    tokenizer = Tokenizer(bpe)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    if with_delimiters:
        fast.add_special_tokens({"additional_special_tokens": DELIMITERS})
    return fast


def write(
    directory: Path,
    backbone: PreTrainedModel,
    tensors: dict[str, Tensor],
    *,
    keys: dict[str, Any],
    architecture: str,
    tokenizer: PreTrainedTokenizerFast | None,
    prefix: str = "",
) -> Made:
    """Write the files as `save_pretrained` of a subclass of the model would."""
    directory.mkdir(parents=True)
    config = backbone.config.to_diff_dict() | keys | {"architectures": [architecture]}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if backbone.generation_config is not None:
        backbone.generation_config.save_pretrained(directory)
    tied = backbone.config.tie_word_embeddings
    state = {
        f"{prefix}{name}": tensor.clone()
        for name, tensor in backbone.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    save_file(state | tensors, directory / "model.safetensors", metadata={"format": "pt"})
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    return Made(directory=directory, backbone=backbone, tensors=tensors)


def random_tensors(shapes: dict[str, tuple[int, ...]], *, std: float = 0.25) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) * std for name, shape in shapes.items()}

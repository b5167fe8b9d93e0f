"""The keys of a GGUF file that we write: shape of the model, rotation, vocabulary."""

import json
import math
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import PreTrainedTokenizerBase

from qstar_infer.checkpoint.gguf.architectures import REPEATS_EMBEDDING, VECTOR_ROWS
from qstar_infer.checkpoint.gguf.splitting import PRE_TOKENIZERS
from qstar_infer.checkpoint.gguf.tokenizer import splitter
from qstar_infer.checkpoint.gguf.vocabulary import BYTE_LEVEL, CONTROL, NO_VOCABULARY, USER_DEFINED
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel

VECTOR_TOKENS = ("<|qstar:start vector|>", "<|qstar:end vector|>")
_NORMAL, _UNUSED = 1, 5
"""Types of tokens."""


def add_keys(writer: gguf.GGUFWriter, model: QuietStarModel, *, unties: bool) -> None:
    """Add all keys.

    Args:
        unties: whether tied embeddings are written twice.

    Raises:
        CheckpointError: positions are scaled in a way that cannot be written.
    """
    config = model.backbone.config
    num_vectors = 0 if model.thought_parts is None else len(VECTOR_TOKENS)
    head_dim = _head_dim(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(model.vocab_size + num_vectors)
    writer.add_uint32(VECTOR_ROWS, num_vectors)
    writer.add_bool(REPEATS_EMBEDDING, unties and bool(config.tie_word_embeddings))
    _add_rotation(writer, config)
    _add_vocabulary(writer, model.tokenizer, model.vocab_size, num_vectors)


def frequency_factors(model: QuietStarModel) -> NDArray[np.float32] | None:
    """Divisors of the frequencies for Llama 3's scaling; None for other rotations."""
    rope = model.backbone.config.rope_parameters
    if rope["rope_type"] != "llama3":
        return None
    dims = _head_dim(model.backbone.config)
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    plain = rope["rope_theta"] ** (-np.arange(0, dims, 2, dtype=np.float64) / dims)
    turns = original * plain / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    factors: NDArray[np.float32] = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    return factors


def _head_dim(config: Any) -> int:
    head_dim = getattr(config, "head_dim", None)
    return int(head_dim or config.hidden_size // config.num_attention_heads)


def _add_rotation(writer: gguf.GGUFWriter, config: Any) -> None:
    rope = config.rope_parameters
    kind = rope["rope_type"]
    if kind not in ("default", "linear", "llama3"):
        raise CheckpointError(
            f"rope_type {kind!r} cannot be written as GGUF; default, linear and llama3 can. Use "
            "the torch runner."
        )
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise CheckpointError("A partial rotation cannot be written as GGUF. Use the torch runner.")
    writer.add_rope_freq_base(rope["rope_theta"])
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _add_vocabulary(
    writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, num_rows: int, num_vectors: int
) -> None:
    """The vocabulary, if llama.cpp has a name for how this tokenizer splits; else none.

    Our loaders use the tokenizer's own files. This is for programs of llama.cpp.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    pre = _pre(content)
    if pre is None:
        writer.add_tokenizer_model(NO_VOCABULARY)
        return
    named = {token_id: token for token, token_id in tokenizer.get_vocab().items()}
    added = {each["id"]: each["special"] for each in content["added_tokens"]}
    tokens = [named.get(row, f"<|unused:{row}|>") for row in range(num_rows)]
    types = [_NORMAL if row in named else _UNUSED for row in range(num_rows)]
    for token_id, is_special in added.items():
        if token_id < num_rows:
            types[token_id] = CONTROL if is_special else USER_DEFINED
    writer.add_tokenizer_model(BYTE_LEVEL)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*tokens, *VECTOR_TOKENS[:num_vectors]])
    writer.add_token_types([*types, *[_UNUSED] * num_vectors])
    writer.add_token_merges(_merges(content["model"]["merges"]))
    _add_special_ids(writer, tokenizer)


def _pre(content: dict[str, Any]) -> str | None:
    """llama.cpp's name for how a byte-level tokenizer splits text; None if it has none."""
    model = content["model"]
    if model["type"] != "BPE" or content["normalizer"] is not None or not model["merges"]:
        return None
    for name, splitting in PRE_TOKENIZERS.items():
        if (
            _as_json(splitter(splitting)) == content["pre_tokenizer"]
            and splitting.ignores_merges == model["ignore_merges"]
        ):
            return name
    return None


def _as_json(pre_tokenizer: PreTokenizer) -> dict[str, Any]:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    content: dict[str, Any] = json.loads(tokenizer.to_str())["pre_tokenizer"]
    return content


def _merges(merges: list[Any]) -> list[str]:
    return [each if isinstance(each, str) else " ".join(each) for each in merges]


def _add_special_ids(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    ids = {
        writer.add_bos_token_id: tokenizer.bos_token_id,
        writer.add_eos_token_id: tokenizer.eos_token_id,
        writer.add_unk_token_id: tokenizer.unk_token_id,
        writer.add_pad_token_id: tokenizer.pad_token_id,
    }
    for add, token_id in ids.items():
        if token_id is not None:
            add(token_id)
    framed = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(framed[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(framed[-1] == tokenizer.eos_token_id)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)

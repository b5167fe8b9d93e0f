"""The architectures of GGUF files that can be loaded: their configs, and how weights are stored.

Each entry is held to llama.cpp's numbers by a test. All others are refused, although transformers
reads some of them: it drops keys that it does not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.rope import (
    FREQ_FACTORS,
    LONG_FACTORS,
    SHORT_FACTORS,
    rope_parameters,
)
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import CheckpointError

Weights = NDArray[np.float32]
Settings = dict[str, Any]

EMBEDDING = "token_embd.weight"
VECTOR_ROWS = "qstar.vector_rows"
"""Key of a file of ours: 2 if the last two rows of its embeddings are thought vectors, else 0."""
REPEATS_EMBEDDING = "qstar.repeats_embedding"
"""Key of a file of ours: whether the output is the input embedding once more, in another type."""
OUTPUT = "output.weight"
"""The output embedding. Without it the input embedding serves as both, if llama.cpp allows that."""

_GEMMA3_27B_LAYERS = 62
"""llama.cpp knows this model by its layers; it scales attention by hidden size over heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How one architecture of GGUF becomes a transformers model."""

    model_type: str
    """transformers' name."""
    epsilon: str = "rms_norm_eps"
    """Field of the config for what the norms add to the variance."""
    by_rms: bool = True
    """Whether the norms divide by the root mean square, without subtracting the mean."""
    biases: Mapping[str, str] = field(default_factory=dict)
    """Field of the config -> tensor of a layer that is there if the field is true."""
    partial_rotary: bool = False
    """Whether fewer dimensions than a head's may rotate."""
    rotates_pairs: bool = False
    """Whether the file has the two halves of a rotated pair side by side in queries and keys."""
    adds_one: bool = False
    """Whether transformers adds 1 to the weights of norms; the file's have it already."""
    needs_output: bool = False
    """Whether the file must have an output embedding of its own."""
    factor_tensors: frozenset[str] = frozenset()
    """Tensors with divisors of the rotation's frequencies, which it may have."""
    more: Callable[[KeyReader, Settings], Settings] = lambda _keys, _common: {}
    """Its own part of the config, given the part that all share."""


def read_architecture(header: GgufHeader) -> Architecture:
    """The architecture of a file.

    Raises:
        CheckpointError: it is not one that can be loaded.
    """
    name = header.architecture
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{header.path} has the architecture {name!r}, and only GGUF files of "
            f"{', '.join(ARCHITECTURES)} can be loaded. Use the original safetensors checkpoint."
        )
    return ARCHITECTURES[name]


def embedding_rows(header: GgufHeader) -> int:
    """Rows of the input embedding.

    Raises:
        CheckpointError: there is none.
    """
    embedding = header.tensors.get(EMBEDDING)
    if embedding is None:
        judge(Inventory(where=str(header.path), kind="tensor", missing={EMBEDDING}))
        return 0
    return embedding.shape[0] - num_vector_rows(header)


def num_vector_rows(header: GgufHeader) -> int:
    """Number of the embedding's last rows that hold thought vectors, in a file of ours."""
    return 2 if header.keys.get(VECTOR_ROWS) == 2 else 0


def read_config(
    keys: KeyReader, architecture: Architecture, special_ids: Mapping[str, int]
) -> PreTrainedConfig:
    """The transformers config of a file. Every value comes from the file or is llama.cpp's default.

    Args:
        keys: of the file.
        architecture: of the file.
        special_ids: "bos", "eos", "padding" -> id, for those that exist.

    Raises:
        CheckpointError: a key is missing or cannot be honoured.
    """
    common = _common_settings(keys)
    common["tie_word_embeddings"] &= not architecture.needs_output
    epsilon = "layer_norm_rms_epsilon" if architecture.by_rms else "layer_norm_epsilon"
    common[architecture.epsilon] = keys.get(f"attention.{epsilon}", float)
    for name, tensor in architecture.biases.items():
        common[name] = f"blk.0.{tensor}" in keys.header.tensors
    head_dim = common["head_dim"]
    rotated = keys.get_count("rope.dimension_count", default=head_dim)
    if (
        rotated > head_dim
        or rotated % 2
        or (rotated < head_dim and not architecture.partial_rotary)
    ):
        keys.refuse(
            keys.full_name("rope.dimension_count"),
            f"is {rotated}, which does not fit heads of {head_dim} dimensions",
        )
    rope = rope_parameters(keys, num_dims=rotated, context_length=common["max_position_embeddings"])
    if architecture.partial_rotary:
        rope["partial_rotary_factor"] = rotated / head_dim
    common["rope_parameters"] = rope
    for kind, name in (("bos", "bos"), ("eos", "eos"), ("padding", "pad")):
        common[f"{name}_token_id"] = special_ids.get(kind)
    settings = common | architecture.more(keys, common)
    with third_party(f"The keys of {keys.header.path}", "Use the original checkpoint."):
        return CONFIG_MAPPING[architecture.model_type](**settings)


def restore(
    architecture: Architecture, name: str, *, weights: Weights, config: PreTrainedConfig
) -> Weights:
    """Undo what llama.cpp's converter did to the values of a tensor.

    Args:
        architecture: of the file.
        name: of the tensor in the file.
        weights: its values.
        config: of the model.
    """
    if architecture.adds_one and name.endswith("norm.weight"):
        return weights - 1
    if architecture.rotates_pairs:
        count = _rotated_heads(name, config)
        if count is not None:
            pairs = weights.reshape(count, -1, 2, *weights.shape[1:])
            return pairs.swapaxes(1, 2).reshape(weights.shape)
    return weights


def stored(
    architecture: Architecture, name: str, *, weights: Weights, config: PreTrainedConfig
) -> Weights:
    """The inverse of `restore`: a tensor as llama.cpp's converter writes it."""
    if architecture.adds_one and name.endswith("norm.weight"):
        return weights + 1
    if architecture.rotates_pairs:
        count = _rotated_heads(name, config)
        if count is not None:
            halves = weights.reshape(count, 2, -1, *weights.shape[1:])
            return halves.swapaxes(1, 2).reshape(weights.shape)
    return weights


def _rotated_heads(name: str, config: PreTrainedConfig) -> int | None:
    """Number of heads in a tensor of queries or keys; None for another tensor."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    return heads.get(name.split(".")[-2])


def _common_settings(keys: KeyReader) -> Settings:
    """What the configs of all these architectures have."""
    tensors = keys.header.tensors
    rows = embedding_rows(keys.header)
    keys.expect(
        "vocab_size", rows + num_vector_rows(keys.header), "the number of rows in token_embd.weight"
    )
    hidden = keys.get_count("embedding_length")
    heads = keys.get_count("attention.head_count")
    layers = keys.get_count("block_count")
    if layers > len(tensors):
        keys.refuse(keys.full_name("block_count"), f"is {layers}, but has {len(tensors)} tensors")
    head_dim = keys.get_count("attention.key_length", default=hidden // heads)
    keys.expect("attention.value_length", head_dim, "the length of a key")
    return {
        "vocab_size": rows,
        "hidden_size": hidden,
        "intermediate_size": keys.get_count("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.get_count("attention.head_count_kv", default=heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.get_count("context_length"),
        "tie_word_embeddings": OUTPUT not in tensors,
    }


def _phi3(keys: KeyReader, common: Settings) -> Settings:
    """llama.cpp leaves the window out; within it both compute the same."""
    original = keys.get_or(
        "rope.scaling.original_context_length", common["max_position_embeddings"]
    )
    window = keys.get_or("attention.sliding_window", 0)
    return {"sliding_window": window or None, "original_max_position_embeddings": original}


def _gemma3(keys: KeyReader, common: Settings) -> Settings:
    """Layers with a window rotate with a base of their own, and unscaled."""
    layers = common["num_hidden_layers"]
    window = keys.get_or("attention.sliding_window", 0)
    kinds = _layer_kinds(keys, layers, period=6) if window else ["full_attention"] * layers
    scale = common["head_dim"]
    if layers == _GEMMA3_27B_LAYERS:
        scale = common["hidden_size"] // common["num_attention_heads"]
    local = {
        "rope_type": "default",
        "rope_theta": keys.get_or("rope.freq_base_swa", 10000.0),
    }
    return {
        "sliding_window": window or common["max_position_embeddings"],
        "layer_types": kinds,
        "query_pre_attn_scalar": scale,
        "final_logit_softcapping": keys.get_or("final_logit_softcapping", 0.0) or None,
        "rope_parameters": {
            "full_attention": common["rope_parameters"],
            "sliding_attention": local,
        },
    }


def _layer_kinds(keys: KeyReader, layers: int, *, period: int) -> list[str]:
    """Each layer's attention: full in every `period`-th layer, or as the file lists it."""
    name = "attention.sliding_window_pattern"
    listed = keys.header.keys.get(keys.full_name(name))
    if isinstance(listed, list):
        windowed = keys.get_list(name, bool) or []
        if len(windowed) != layers:
            keys.refuse(keys.full_name(name), f"lists {len(windowed)} layers of {layers}")
    else:
        period = keys.get_or(name, period)
        windowed = [period == 0 or index % period < period - 1 for index in range(layers)]
    return ["sliding_attention" if each else "full_attention" for each in windowed]


_QKV_AND_MLP = {"attention_bias": "attn_q.bias", "mlp_bias": "ffn_down.bias"}
_QKV = {"attention_bias": "attn_q.bias"}

ARCHITECTURES = {
    "llama": Architecture(
        model_type="llama",
        biases=_QKV_AND_MLP,
        rotates_pairs=True,
        factor_tensors=frozenset({FREQ_FACTORS}),
    ),
    "qwen2": Architecture(model_type="qwen2"),
    "qwen3": Architecture(model_type="qwen3", biases=_QKV),
    "smollm3": Architecture(
        model_type="smollm3",
        biases=_QKV_AND_MLP,
        rotates_pairs=True,
        more=lambda _keys, _common: {"no_rope_layer_interval": 4},
    ),
    "phi3": Architecture(
        model_type="phi3",
        partial_rotary=True,
        factor_tensors=frozenset({SHORT_FACTORS, LONG_FACTORS}),
        more=_phi3,
    ),
    "olmo2": Architecture(model_type="olmo2", biases=_QKV, needs_output=True),
    "gemma": Architecture(
        model_type="gemma",
        adds_one=True,
        more=lambda _keys, _common: {"tie_word_embeddings": True},
    ),
    "gemma3": Architecture(model_type="gemma3_text", adds_one=True, more=_gemma3),
    "starcoder2": Architecture(
        model_type="starcoder2",
        epsilon="norm_epsilon",
        by_rms=False,
        biases={"use_bias": "attn_q.bias"},
    ),
}
"""Name in the file -> how to load it."""

"""The architectures of GGUF files that can be loaded: their configs, and how weights are stored.

Each entry is held to llama.cpp's numbers by a test. All others are refused, although transformers
reads some of them: it drops keys that it does not know.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.rope import rope_parameters
from qstar_infer.errors import CheckpointError

Weights = NDArray[np.float32]
Settings = dict[str, Any]

_GEMMA3_27B_LAYERS = 62
"""llama.cpp knows this model by its layers; it scales attention by hidden size over heads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How one architecture of GGUF becomes a transformers model."""

    model_type: str
    """transformers' name."""
    settings: Callable[[KeyReader, Settings], Settings]
    """Its own part of the config, given the part that all share."""
    restore: Callable[[str, Weights, Settings], Weights] = lambda name, weights, settings: weights
    """Undoes what llama.cpp's converter did to the values of a tensor, by its name in the file."""
    partial_rotary: bool = False
    """Whether fewer dimensions than a head's may rotate."""


def read_architecture(header: GgufHeader) -> Architecture:
    """The architecture of a file.

    Raises:
        CheckpointError: it is not one that can be loaded.
    """
    name = header.architecture
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{header.path} has the architecture {name!r}; GGUF files of {', '.join(ARCHITECTURES)} "
            "can be loaded. Use the original checkpoint, in safetensors."
        )
    return ARCHITECTURES[name]


def read_config(keys: KeyReader, architecture: Architecture) -> PreTrainedConfig:
    """The transformers config of a file. Every value comes from the file or is llama.cpp's default.

    Raises:
        CheckpointError: a key is missing or cannot be honoured.
    """
    common = _common_settings(keys)
    rotated = keys.get("rope.dimension_count", int, default=common["head_dim"])
    if rotated != common["head_dim"] and not architecture.partial_rotary:
        keys.refuse(
            keys.full_name("rope.dimension_count"),
            f"is {rotated}, but the heads of this architecture rotate all "
            f"{common['head_dim']} dimensions",
        )
    rope = rope_parameters(
        keys, num_dims=rotated, context_length=common["max_position_embeddings"]
    )
    if architecture.partial_rotary:
        rope["partial_rotary_factor"] = rotated / common["head_dim"]
    common["rope_parameters"] = rope
    settings = common | architecture.settings(keys, common)
    return CONFIG_MAPPING[architecture.model_type](**settings)


def _common_settings(keys: KeyReader) -> Settings:
    """What the configs of all these architectures have."""
    tensors = keys.header.tensors
    hidden = keys.get("embedding_length", int)
    heads = keys.get("attention.head_count", int)
    if heads < 1 or hidden < 1:
        keys.refuse(keys.full_name("attention.head_count"), f"is {heads} for {hidden} dimensions")
    head_dim = keys.get("attention.key_length", int, default=hidden // heads)
    keys.expect("attention.value_length", head_dim, "the length of a key")
    embedding = tensors.get("token_embd.weight")
    rows = 0 if embedding is None else embedding.shape[0]
    keys.expect("vocab_size", rows, "the number of rows in token_embd.weight")
    return {
        "vocab_size": rows,
        "hidden_size": hidden,
        "intermediate_size": keys.get("feed_forward_length", int),
        "num_hidden_layers": keys.get("block_count", int),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.get("attention.head_count_kv", int, default=heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.get("context_length", int),
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": keys.get("tokenizer.ggml.bos_token_id", int, default=None),
        "eos_token_id": keys.get("tokenizer.ggml.eos_token_id", int, default=None),
        "pad_token_id": keys.get("tokenizer.ggml.padding_token_id", int, default=None),
    }


def _rms_eps(keys: KeyReader) -> float:
    return keys.get("attention.layer_norm_rms_epsilon", float)


def _eps(keys: KeyReader) -> float:
    return keys.get("attention.layer_norm_epsilon", float)


def _has(keys: KeyReader, tensor: str) -> bool:
    return f"blk.0.{tensor}" in keys.header.tensors


def _llama(keys: KeyReader, common: Settings) -> Settings:
    return {
        "rms_norm_eps": _rms_eps(keys),
        "attention_bias": _has(keys, "attn_q.bias"),
        "mlp_bias": _has(keys, "ffn_down.bias"),
    }


def _qwen(keys: KeyReader, common: Settings) -> Settings:
    return {"rms_norm_eps": _rms_eps(keys), "attention_bias": _has(keys, "attn_q.bias")}


def _smollm3(keys: KeyReader, common: Settings) -> Settings:
    return _llama(keys, common) | {"no_rope_layer_interval": 4}


def _olmo2(keys: KeyReader, common: Settings) -> Settings:
    return {"rms_norm_eps": _rms_eps(keys)}


def _phi3(keys: KeyReader, common: Settings) -> Settings:
    original = keys.get(
        "rope.scaling.original_context_length", int, default=common["max_position_embeddings"]
    )
    window = keys.get("attention.sliding_window", int, default=0)
    return {
        "rms_norm_eps": _rms_eps(keys),
        "sliding_window": window or None,
        "original_max_position_embeddings": original,
    }


def _starcoder2(keys: KeyReader, common: Settings) -> Settings:
    return {"norm_epsilon": _eps(keys), "use_bias": _has(keys, "attn_q.bias")}


def _stablelm(keys: KeyReader, common: Settings) -> Settings:
    has_second_norm = _has(keys, "ffn_norm.weight")
    name = "use_parallel_residual"
    if keys.get(name, bool, default=not has_second_norm) == has_second_norm:
        keys.refuse(keys.full_name(name), f"is {has_second_norm}, against the file's tensors")
    return {
        "layer_norm_eps": _eps(keys),
        "use_qkv_bias": _has(keys, "attn_q.bias"),
        "use_parallel_residual": not has_second_norm,
    }


def _nemotron(keys: KeyReader, common: Settings) -> Settings:
    return {
        "norm_eps": _eps(keys),
        "attention_bias": _has(keys, "attn_q.bias"),
        "mlp_bias": _has(keys, "ffn_down.bias"),
    }


def _gemma(keys: KeyReader, common: Settings) -> Settings:
    return {"rms_norm_eps": _rms_eps(keys)}


def _gemma3(keys: KeyReader, common: Settings) -> Settings:
    """Layers with a window rotate with a base of their own, and unscaled."""
    layers = common["num_hidden_layers"]
    window = keys.get("attention.sliding_window", int, default=0)
    kinds = _layer_kinds(keys, layers, period=6) if window else ["full_attention"] * layers
    # llama.cpp's default for a file without the key, as are all older ones.
    local_base = keys.get("rope.freq_base_swa", float, default=10000.0)
    scale = common["head_dim"]
    if layers == _GEMMA3_27B_LAYERS:
        scale = common["hidden_size"] // common["num_attention_heads"]
    return {
        "rms_norm_eps": _rms_eps(keys),
        "sliding_window": window or common["max_position_embeddings"],
        "layer_types": kinds,
        "query_pre_attn_scalar": scale,
        "final_logit_softcapping": keys.get("final_logit_softcapping", float, default=0.0) or None,
        "rope_parameters": {
            "full_attention": common["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": local_base},
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
        period = keys.get(name, int, default=period)
        windowed = [period == 0 or index % period < period - 1 for index in range(layers)]
    return ["sliding_attention" if each else "full_attention" for each in windowed]


def _unpaired_rotation(name: str, weights: Weights, settings: Settings) -> Weights:
    """Llama's converter puts the two halves of a rotated pair side by side."""
    heads = {".attn_q.": "num_attention_heads", ".attn_k.": "num_key_value_heads"}
    for part, count in heads.items():
        if part in name:
            pairs = weights.reshape(settings[count], -1, 2, *weights.shape[1:])
            return pairs.swapaxes(1, 2).reshape(weights.shape)
    return weights


def _norms_less_one(name: str, weights: Weights, settings: Settings) -> Weights:
    """transformers adds 1 to these norms' weights; llama.cpp's converter has added it already."""
    return weights - 1 if name.endswith("norm.weight") else weights


ARCHITECTURES = {
    "llama": Architecture(model_type="llama", settings=_llama, restore=_unpaired_rotation),
    "qwen2": Architecture(model_type="qwen2", settings=_qwen),
    "qwen3": Architecture(model_type="qwen3", settings=_qwen),
    "smollm3": Architecture(model_type="smollm3", settings=_smollm3, restore=_unpaired_rotation),
    "phi3": Architecture(model_type="phi3", settings=_phi3, partial_rotary=True),
    "olmo2": Architecture(model_type="olmo2", settings=_olmo2),
    "gemma": Architecture(model_type="gemma", settings=_gemma, restore=_norms_less_one),
    "gemma3": Architecture(model_type="gemma3_text", settings=_gemma3, restore=_norms_less_one),
    "starcoder2": Architecture(model_type="starcoder2", settings=_starcoder2),
    "stablelm": Architecture(model_type="stablelm", settings=_stablelm, partial_rotary=True),
    "nemotron": Architecture(
        model_type="nemotron", settings=_nemotron, restore=_norms_less_one, partial_rotary=True
    ),
}
"""Name in the file -> how to load it."""

"""Toy files that llama.cpp has computed: every architecture, and every key that it honours."""

from typing import Any

import numpy as np

from tests.checkpoint.gguf.toys import ARCHITECTURES

IDS = [1] + [i * 37 % 250 + 3 for i in range(39)]
"""The prompt. Longer than the windows of the toys."""
WATCHED = [0, 5, 77, 150, 251, 300]
"""Ids whose log-probabilities after the whole prompt are recorded."""

Case = dict[str, Any]

_FACTORS = np.array([1, 2, 4, 8], dtype=np.float32)
_RISING = np.array([1, 1.5, 2, 3], dtype=np.float32)
_QKV = ("attn_q", "attn_k", "attn_v")
_MLP = ("ffn_gate", "ffn_up", "ffn_down")
_YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 32,
}
_LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}


def _long_rope(short: Any, long: Any, *, original: int, attention: float) -> Case:
    return {
        "architecture": "phi3",
        "tensors": {"rope_factors_short.weight": short, "rope_factors_long.weight": long},
        "keys": {
            "rope.scaling.type": "longrope",
            "rope.scaling.original_context_length": original,
            "rope.scaling.attn_factor": attention,
        },
    }


PLAIN: dict[str, Case] = {
    name: {"architecture": name, "tied": name == "gemma"} for name in ARCHITECTURES
}

CHANGED: dict[str, Case] = {
    "tied": {"tied": True},
    "rope_freqs": {"tensors": {"rope_freqs.weight": _FACTORS}},
    "rope_freqs, linear": {"tensors": {"rope_freqs.weight": _RISING}, "keys": _LINEAR},
    "rope_freqs, attn_factor": {
        "tensors": {"rope_freqs.weight": _FACTORS},
        "keys": {"rope.scaling.attn_factor": 1.3},
    },
    "linear": {"keys": _LINEAR},
    "factor without a type": {"keys": {"rope.scaling.factor": 3.0}},
    "scale_linear": {"keys": {"rope.scale_linear": 4.0}},
    "factor wins over scale_linear": {
        "keys": {"rope.scale_linear": 2.0, "rope.scaling.factor": 3.0}
    },
    "yarn": {"keys": _YARN},
    "yarn, no original length": {
        "keys": {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "context_length": 64}
    },
    "yarn, attn_factor": {"keys": _YARN | {"rope.scaling.attn_factor": 1.2}},
    "yarn, qwen2": {"architecture": "qwen2", "keys": _YARN},
    "freq_base": {"keys": {"rope.freq_base": 500.0}},
    "epsilon": {"keys": {"attention.layer_norm_rms_epsilon": 0.1}},
    "epsilon, starcoder2": {
        "architecture": "starcoder2",
        "keys": {"attention.layer_norm_epsilon": 0.1},
    },
    "biases": {"biases": (*_QKV, "attn_output", *_MLP)},
    "rotates less, phi3": {"architecture": "phi3", "keys": {"rope.dimension_count": 4}},
    "longrope, equal factors": _long_rope(_FACTORS, _FACTORS, original=64, attention=1.2),
    "longrope, not extended": _long_rope(_FACTORS, _RISING, original=256, attention=1.0),
    "no window, gemma3": {"architecture": "gemma3", "without": ("attention.sliding_window",)},
    "period, gemma3": {"architecture": "gemma3", "keys": {"attention.sliding_window_pattern": 2}},
    "pattern, gemma3": {
        "architecture": "gemma3",
        "keys": {"attention.sliding_window_pattern": [False, True]},
    },
    "freq_base_swa, gemma3": {"architecture": "gemma3", "keys": {"rope.freq_base_swa": 500.0}},
    "8 layers, gemma3": {
        "architecture": "gemma3",
        "layers": 8,
        "keys": {"rope.freq_base": 1e6, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
    },
    "8 layers, smollm3": {"architecture": "smollm3", "layers": 8},
}
"""These change the numbers of their architecture's plain toy."""

SAME: dict[str, Case] = {
    "rope_freqs of ones": {"tensors": {"rope_freqs.weight": np.ones(4, dtype=np.float32)}},
    "scaling of type none": {
        "keys": {"rope.scaling.type": "none", "rope.scaling.factor": 2.0},
    },
    "yarn without a factor": {"keys": {"rope.scaling.type": "yarn"}},
    "no freq_base": {"without": ("rope.freq_base",)},
    "no freq_base, qwen3": {"architecture": "qwen3", "without": ("rope.freq_base",)},
    "no dimension_count": {"without": ("rope.dimension_count",)},
    "lengths stated": {"keys": {"attention.key_length": 8, "attention.value_length": 8}},
    "one head count for each layer": {"keys": {"attention.head_count": [4, 4]}},
    "neutral keys": {
        "keys": {
            "attention.causal": True,
            "attention.clamp_kqv": 0.0,
            "expert_count": 0,
            "logit_scale": 1.0,
            "rope.scaling.finetuned": True,
            "tensor_data_layout": "Meta AI original pth",
        }
    },
    "keys of others": {"keys": {"general.name": "a toy", "general.tags": ["a"], "other.key": 3}},
    "window beyond the prompt, phi3": {
        "architecture": "phi3",
        "keys": {"attention.sliding_window": 64},
    },
}
"""These do not."""

CASES = PLAIN | CHANGED | SAME


def architecture_of(case: Case) -> str:
    """Of llama where the case does not say."""
    return str(case.get("architecture", "llama"))

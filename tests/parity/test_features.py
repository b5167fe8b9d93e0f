"""Every feature of a backbone that a config can switch computes what transformers computes."""

from pathlib import Path
from typing import Any

import pytest

from .architectures import TOLERANCE, difference, make_config

FEATURES: dict[str, tuple[str, dict[str, Any]]] = {
    "attention bias": ("llama", {"attention_bias": True}),
    "mlp bias": ("llama", {"mlp_bias": True}),
    "tied embeddings": ("llama", {"tie_word_embeddings": True}),
    "untied embeddings": ("gemma", {"tie_word_embeddings": False}),
    "head width of its own": ("llama", {"head_dim": 12}),
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "another activation": ("llama", {"hidden_act": "gelu_pytorch_tanh"}),
    "large norm epsilon": ("llama", {"rms_norm_eps": 0.1}),
    "linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "partial rotary": ("glm", {"partial_rotary_factor": 0.5}),
    "window": ("mistral", {"sliding_window": 3}),
    "windows in some layers": (
        "gemma3_text",
        {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 3},
    ),
    "rope of each layer type": (
        "gemma3_text",
        {
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 3,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            },
        },
    ),
    "layers without rope": ("smollm3", {"no_rope_layers": [1, 0]}),
    "norms of queries and keys": ("qwen3", {}),
    "scaled scores": ("gemma3_text", {"query_pre_attn_scalar": 3}),
    "multipliers": (
        "granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.3, "attention_multiplier": 0.7},
    ),
    "windows switched off": ("qwen2", {"use_sliding_window": False}),
    "clipped keys": ("olmo", {"clip_qkv": 0.3}),
    "parallel residual off": ("gpt_neox", {"use_parallel_residual": False}),
    "scores by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_feature(tmp_path: Path, feature: str) -> None:
    model_type, settings = FEATURES[feature]
    assert difference(make_config(model_type, **settings), tmp_path) < TOLERANCE

"""Small models of the fused architectures, and an attention without a cache."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from qstar_infer.model.quiet_star import QuietStarModel

from ..parity.architectures import make_config
from ..parity.toy import byte_tokenizer

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "mistral, window": ("mistral", {"sliding_window": 5}),
    "qwen2, biases": ("qwen2", {}),
    "qwen2, windows in some layers": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["full_attention", "sliding_attention"],
        },
    ),
    "qwen3, norms of heads": ("qwen3", {"head_dim": 12}),
    "seed_oss": ("seed_oss", {}),
    "smollm3, layers without rope": ("smollm3", {"no_rope_layers": [1, 0]}),
    "attention bias": ("llama", {"attention_bias": True}),
    "mlp bias": ("llama", {"mlp_bias": True}),
    "tied embeddings": ("llama", {"tie_word_embeddings": True}),
    "head width of its own": ("llama", {"head_dim": 12}),
    "as many key heads as heads": ("llama", {"num_key_value_heads": 4}),
    "one key head": ("llama", {"num_key_value_heads": 1}),
    "large norm epsilon": ("llama", {"rms_norm_eps": 0.1}),
    "widths that no vector divides": (
        "llama",
        {"hidden_size": 36, "intermediate_size": 301, "head_dim": 6},
    ),
    "biases and widths for groups of 4 bits": (
        "llama",
        {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "attention_bias": True},
    ),
    "linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "dynamic rope": (
        "llama",
        {
            "max_position_embeddings": 16,
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        },
    ),
    "llama3 rope": (
        "llama",
        {
            "rope_parameters": {
                **{"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0},
                **{"low_freq_factor": 1.0, "high_freq_factor": 4.0},
                "original_max_position_embeddings": 16,
            }
        },
    ),
    "yarn rope, scaled": (
        "llama",
        {
            "rope_parameters": {
                **{"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0},
                "original_max_position_embeddings": 16,
            }
        },
    ),
}

ROWS = 24


def make_model(variant: str = "llama") -> QuietStarModel:
    """A model without thought parts, in float32. Its norms and biases are not constants."""
    model_type, settings = VARIANTS[variant]
    torch.manual_seed(0)
    backbone = AutoModelForCausalLM.from_config(make_config(model_type, **settings))
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return QuietStarModel(backbone.float(), byte_tokenizer()).eval()


class CausalAttention:
    """Each row attends to itself and to the rows before it, no further than the window."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """See `AttentionState.attend`."""
        del layer
        distance = torch.arange(query.shape[2])[:, None] - torch.arange(query.shape[2])
        visible = (distance >= 0) & (distance < (query.shape[2] if window is None else window))
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, scale=scale, enable_gqa=True
        )
        return mixed.transpose(1, 2)


def inputs() -> tuple[Tensor, Tensor]:
    """Token ids and positions of a text."""
    return torch.arange(ROWS).mul(37).remainder(255).add(1), torch.arange(ROWS)

"""Small checkpoints of every architecture that loads, and how far ours is from transformers."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
import transformers
from packaging.version import Version
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer.checkpoint import load_model

from ..device import DEVICE
from ..tolerances import float32_tolerance
from .toy import byte_tokenizer

ARCHITECTURES = (
    "afmoe apertus apertus1p5_text arcee aria_text axk1 beam bitnet cohere cohere2 cohere2_moe "
    "cwm deepseek_v2 deepseek_v3 dots1 ernie4_5 ernie4_5_moe exaone exaone4 exaone_moe "
    "flex_olmo gemma gemma2 gemma3_text gemma4_unified_text glm glm4 glm4_moe glm4_moe_lite "
    "gpt-sw3 gpt2 gpt_bigcode gpt_neox granite granitemoe granitemoeshared helium "
    "hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax internlm3 iquestcoder jais2 jetmoe "
    "kolibri1 laguna lfm2 llama longcat_flash mellum minimax_m2 minimax_m3_vl_text ministral "
    "ministral3 mistral mixtral moshi nanochat olmo olmo2 olmo3 olmoe opt persimmon phi3 phimoe "
    "qwen2 qwen2_moe qwen3 qwen3_moe sarvam_mla sarvam_moe seed_oss smollm3 solar_open "
    "starcoder2 vaultgemma youtu"
)
"""All of transformers that load, of those that a small toy can be made of."""

_COMPLETE = "5.24"
"""The oldest transformers that the tests have found to have all of them."""
_SINCE = {"moshi": "5.21"}
"""The transformers whose layers pass on what our attention needs."""

_LATENT = "axk1 deepseek_v2 deepseek_v3 glm4_moe_lite longcat_flash sarvam_mla youtu"
"""Architectures whose keys come from a latent vector: as many key heads as query heads."""

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 260,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "eos_token_id": 256,
    "bos_token_id": 0,
    "pad_token_id": None,
    "sliding_window": 7,
    # Other names of the same.
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "n_inner": 48,
    "ffn_dim": 48,
    "d_model": 32,
    "num_layers": 2,
    "num_heads": 4,
    "word_embed_proj_dim": 32,
    "rotary_dim": 8,
    "kv_channels": 8,
    # Experts.
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    # Keys from a latent vector.
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    # What thoughts do not allow, switched off.
    "final_logit_softcapping": None,
    "attn_logit_softcapping": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
}

_SETTINGS: dict[str, dict[str, Any]] = {
    # With a window they are refused: only the mask has it.
    "moshi": {"sliding_window": 64},
    "phimoe": {"sliding_window": 64},
}


def reason_to_skip(model_type: str) -> str | None:
    """Why an architecture cannot be tested with this transformers; None if it can be."""
    version = Version(transformers.__version__)
    if model_type not in CONFIG_MAPPING and version < Version(_COMPLETE):
        return f"transformers {version} has no {model_type}"
    since = _SINCE.get(model_type, "0")
    return f"{model_type} needs transformers {since}" if version < Version(since) else None


def make_config(model_type: str, **settings: Any) -> Any:
    """A small config: the sizes that its class knows, and the settings."""
    kind = CONFIG_MAPPING[model_type]
    known = {field.name for field in dataclasses.fields(kind)} | kind.attribute_map.keys()
    sizes = {name: value for name, value in SIZES.items() if name in known}
    if model_type in _LATENT.split():
        sizes["num_key_value_heads"] = SIZES["num_attention_heads"]
    return kind(**sizes | _SETTINGS.get(model_type, {}) | settings)


def difference(config: Any, directory: Path) -> float:
    """The largest difference of log-probabilities between ours and transformers' own."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    _vary_constants(model)
    model.save_pretrained(directory)
    byte_tokenizer().save_pretrained(directory)
    stock = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = torch.arange(24).mul(37).remainder(255).add(1).unsqueeze(0)
    with torch.no_grad():
        expected = stock(input_ids=ids).logits.log_softmax(-1)
    ours = load_model(directory, dtype="float32", device=DEVICE)
    found = ours.think(ids, num_thought_tokens=0).base_logits.cpu().log_softmax(-1)
    return float((found - expected).abs().max())


@torch.no_grad()
def _vary_constants(model: torch.nn.Module) -> None:
    """Change the weights that begin as one number, such as the scales of norms.

    Some routers begin as zeros. Then all experts tie, and which of them `topk` returns differs
    between the CPU and CUDA.
    """
    for parameter in model.parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.view(-1)[0]).all()):
            parameter.add_(torch.randn_like(parameter), alpha=0.2)


# Two layers of eight sums of up to 48 terms, whose values stay below 100; a log-probability is a
# logit less the log of a sum, so the errors of two logits add up.
TOLERANCE = 2 * float32_tolerance(num_terms=2 * 8 * 48 + 32, size=100)

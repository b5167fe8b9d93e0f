"""Each mode of LoRA computes what peft's unmerged model computes, loaded and saved again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model

from .toys import Workshop, logits_of, our_logits, peft_logits, stock

QV = {"target_modules": ["q_proj", "v_proj"]}
EMBED = {"target_modules": ["q_proj", "embed_tokens"]}
HEAD = {"target_modules": ["q_proj", "lm_head"]}
BOTH = {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}
SAVE_EMBED = QV | {"modules_to_save": ["embed_tokens"]}
SAVE_HEAD = QV | {"modules_to_save": ["lm_head"]}
SAVE_BOTH = QV | {"modules_to_save": ["embed_tokens", "lm_head"]}
TOKENS = QV | {"trainable_token_indices": [3, 42, 300]}
TIE = {"ensure_weight_tying": True}

MODES: dict[str, dict[str, Any]] = {
    "attention": {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "all linear layers": {"target_modules": "all-linear"},
    "pattern": {"target_modules": r".*layers\.1\..*(q|up)_proj"},
    "excluded": {
        "target_modules": "all-linear",
        "exclude_modules": ["k_proj", "layers.0.mlp.up_proj"],
    },
    "some layers": QV | {"layers_to_transform": [1], "layers_pattern": "layers"},
    "embedding": EMBED,
    "head": HEAD,
    "both embeddings": BOTH,
    "rank pattern": QV | {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 6}},
    "alpha pattern": QV | {"alpha_pattern": {"^model.layers.0.self_attn.q_proj": 24}},
    "rslora": QV | {"use_rslora": True, "rank_pattern": {"q_proj": 2}},
    "rslora of embeddings": BOTH | {"use_rslora": True},
    "dora": {"target_modules": "all-linear", "use_dora": True},
    "dora of embeddings": BOTH | {"use_dora": True},
    "dora and rslora": QV | {"use_dora": True, "use_rslora": True},
    "dropout": QV | {"lora_dropout": 0.5},
    "saved norm": QV | {"modules_to_save": ["norm", "input_layernorm"]},
    "saved layer": QV | {"modules_to_save": ["mlp"]},
    "saved embedding": SAVE_EMBED,
    "saved head": SAVE_HEAD,
    "saved embeddings": SAVE_BOTH,
    "adapted embedding, saved head": EMBED | {"modules_to_save": ["lm_head"]},
    "adapted head, saved embedding": HEAD | {"modules_to_save": ["embed_tokens"]},
    "tokens": TOKENS,
    "tokens of both": QV | {"trainable_token_indices": {"embed_tokens": [3, 9], "lm_head": [3, 9]}},
    "other tokens of both": QV
    | {"trainable_token_indices": {"embed_tokens": [3], "lm_head": [8, 9]}},
    "tokens of the head": QV | {"trainable_token_indices": {"lm_head": [3, 300]}},
    "gaussian": QV | {"init_lora_weights": "gaussian"},
    "orthogonal": QV | {"init_lora_weights": "orthogonal"},
    "eva": QV | {"init_lora_weights": "eva"},
    "pissa": QV | {"init_lora_weights": "pissa"},
    "olora": QV | {"init_lora_weights": "olora"},
    "pissa of the head": HEAD | {"init_lora_weights": "pissa"},
    "olora of the head": HEAD | {"init_lora_weights": "olora"},
}
TYING = {
    "embedding": EMBED | TIE,
    "saved embedding": SAVE_EMBED | TIE,
    "saved head": SAVE_HEAD | TIE,
    "saved embeddings": SAVE_BOTH | TIE,
    "tokens": TOKENS | TIE,
    "dora of the embedding": EMBED | TIE | {"use_dora": True},
}
CASES = [
    *((base, mode, settings) for base in ("llama", "tied") for mode, settings in MODES.items()),
    *(("tied", f"{mode}, tied", settings) for mode, settings in TYING.items()),
    ("qwen2", "biases", QV | {"bias": "all"}),
    ("qwen2", "biases of adapted layers", {"target_modules": "all-linear", "bias": "lora_only"}),
    ("qwen2", "bias in lora_B", QV | {"lora_bias": True}),
    ("qwen2", "dora with biases", QV | {"use_dora": True}),
    ("biased", "biases", {"target_modules": "all-linear", "bias": "all"}),
    ("biased", "bias in lora_B", {"target_modules": "all-linear", "lora_bias": True}),
    ("gpt2", "conv1d", {"target_modules": ["c_attn", "c_proj", "c_fc"]}),
    ("gpt2", "fan_in_fan_out", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    ("gpt2", "dora", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "use_dora": True}),
    ("gpt2", "embeddings", {"target_modules": ["c_attn", "wte", "lm_head"]}),
    ("gpt2", "positions", {"target_modules": ["c_attn", "wpe"]}),
    ("gpt2", "biases", {"target_modules": ["c_attn"], "bias": "all"}),
    ("gpt2", "pissa", {"target_modules": ["c_attn"], "init_lora_weights": "pissa", "fan_in_fan_out": True}),
    ("gemma", "embedding", EMBED),
    ("gemma", "dora of the embedding", EMBED | {"use_dora": True}),
    ("gemma", "saved embedding", SAVE_EMBED),
    ("gemma", "tokens", TOKENS),
    ("moe", "experts", {"target_modules": [], "target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
    ("moe", "all linear layers", {"target_modules": "all-linear"}),
    ("moe", "experts and layers", QV | {"target_parameters": ["experts.down_proj"]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "mode", "settings"), CASES, ids=[f"{b}: {m}" for b, m, _ in CASES]
)
def test_mode(
    workshop: Workshop, tmp_path: Path, base: str, mode: str, settings: dict[str, Any]
) -> None:
    """The tolerance is that of float32 sums in another order; logits reach about 10."""
    path = workshop.base(base)
    adapter = workshop.adapter(f"{base} {mode}", path, **settings)
    wanted = peft_logits(adapter, path)
    assert (wanted - logits_of(stock(path))).abs().max() > 0.01, "the adapter changes nothing"
    torch.testing.assert_close(our_logits(adapter), wanted, rtol=1e-4, atol=1e-4)
    save_model(load_model(adapter, dtype="float32", device="cpu"), tmp_path / "saved")
    torch.testing.assert_close(our_logits(tmp_path / "saved"), wanted, rtol=1e-4, atol=1e-4)

"""Small valid checkpoints that the fuzz test mutates, one maker for each format."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

GOLDEN = Path(__file__).parents[2] / "golden" / "A" / "checkpoint"
HIDDEN = 16
VOCAB = 512

Maker = Callable[[Path], object]


def write_tokenizer(directory: Path, *, delimiters: bool) -> None:
    """The golden tokenizer: 500 ids, and two delimiters if asked for."""
    content = json.loads((GOLDEN / "tokenizer.json").read_text(encoding="utf-8"))
    if not delimiters:
        content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < 500]
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def random_model(model_type: str, **settings: Any) -> PreTrainedModel:
    """A model whose weights are large enough that each of them shows in the logits."""
    values = {
        "hidden_size": HIDDEN,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        CONFIG_MAPPING[model_type](**(values | settings)), dtype=torch.float32
    )
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
        else:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def plain(model_type: str, *, shard: str = "5GB", **settings: Any) -> Maker:
    def make(directory: Path) -> None:
        random_model(model_type, **settings).save_pretrained(directory, max_shard_size=shard)
        write_tokenizer(directory, delimiters=False)

    return make


def thought_tensors(*, scale: float) -> dict[str, torch.Tensor]:
    """Two vectors and the five tensors of a talk head, under the names of our format."""
    torch.manual_seed(1)
    shapes = {
        "start_thought": (HIDDEN,),
        "end_thought": (HIDDEN,),
        "talk_head.0.weight": (HIDDEN, 2 * HIDDEN),
        "talk_head.0.bias": (HIDDEN,),
        "talk_head.2.weight": (HIDDEN, HIDDEN),
        "talk_head.2.bias": (HIDDEN,),
        "talk_head.4.weight": (1, HIDDEN),
    }
    return {name: torch.randn(shape) * scale for name, shape in shapes.items()}


def native(
    model_type: str = "llama", *, thinking: dict[str, Any] | None = None, **settings: Any
) -> Maker:
    """A model with thought parts in our format; with a gate if it has a rule."""

    def make(directory: Path) -> None:
        plain(model_type, **settings)(directory)
        tensors = thought_tensors(scale=0.3)
        if thinking is not None:
            tensors |= {"gate.weight": torch.randn(1, HIDDEN), "gate.bias": torch.zeros(1)}
        save_file(tensors, directory / "quiet_star.safetensors")
        layers = [[HIDDEN, 2 * HIDDEN], [HIDDEN, HIDDEN], [1, HIDDEN]]
        content = {
            "format_version": 1,
            "num_thought_tokens": 2,
            "num_talk_tokens": 4,
            "talk_head": {"hidden_size": HIDDEN, "layers": layers},
            **({} if thinking is None else {"thinking": thinking}),
        }
        (directory / "quiet_star.json").write_text(json.dumps(content), encoding="utf-8")

    return make


def published(**settings: Any) -> Maker:
    """A Mistral with thought parts, as the paper's code writes it."""

    def make(directory: Path) -> None:
        plain("mistral", **{"sliding_window": None, **settings})(directory)
        ours = thought_tensors(scale=0.3)
        theirs = {
            name.replace("talk_head.", "talk_head.0."): tensor
            for name, tensor in ours.items()
            if name.startswith("talk_head")
        }
        for name in ("start", "end"):
            row = ours[f"{name}_thought"] / 100
            theirs[f"{name}_embedding"] = torch.stack([row, torch.full_like(row, -3.0)])
        weights = load_file(directory / "model.safetensors") | theirs
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        config |= {
            "max_thoughts": 11,
            "use_concat_talk_head": True,
            "use_complex_talk_head": True,
            "use_weighted_talk_head": True,
            "use_shallow_talk": False,
            "merged_lm_and_talk_heads": False,
        }
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        write_tokenizer(directory, delimiters=True)

    return make


def adapter(base_settings: dict[str, Any] | None = None, **settings: Any) -> Maker:
    """An adapter in the directory, over the base in its folder `base`."""

    def make(directory: Path) -> None:
        base = directory / "base"
        plain(**{"model_type": "llama", **(base_settings or {})})(base)
        torch.manual_seed(2)
        wrapped = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False, **settings),
        )
        wrapped.peft_config["default"].base_model_name_or_path = "base"
        wrapped.save_pretrained(str(directory))

    return make


SEEDS: dict[str, Maker] = {
    "llama": plain("llama"),
    "llama in shards": plain("llama", shard="6KB"),
    "llama with scaled positions": plain(
        "llama",
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
    "qwen2, tied": plain("qwen2", tie_word_embeddings=True),
    "qwen3": plain("qwen3"),
    "mistral with a window": plain("mistral", sliding_window=5),
    "gemma3": plain(
        "gemma3_text", sliding_window=5, layer_types=["sliding_attention", "full_attention"]
    ),
    "gpt2": plain("gpt2", n_embd=HIDDEN, n_layer=2, n_head=4, n_positions=128),
    "native": native(),
    "native, behind tokens": native(thinking={"where": "behind", "tokens": [42, "<s>", 116]}),
    "native, with a gate": native(thinking={"where": "gate"}),
    "published": published(),
    "adapter": adapter(target_modules=["q_proj", "down_proj"]),
    "adapter of tied embeddings": adapter(
        {"tie_word_embeddings": True},
        target_modules=["q_proj", "lm_head"],
        use_dora=True,
        bias="lora_only",
    ),
}


def make_all(makers: Mapping[str, Maker], factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> directory of each checkpoint."""
    made = {}
    for index, (name, make) in enumerate(makers.items()):
        made[name] = factory.mktemp(f"seed{index}") / "checkpoint"
        make(made[name])
    return made

"""Small base models and adapters of every mode, and peft's own reading of them."""

import copy
import dataclasses
import functools
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel

QV: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}
IDS = torch.tensor([[1, *(i * 37 % 490 + 5 for i in range(20))]])
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", LLAMA | {"tie_word_embeddings": False}),
    "tied": ("llama", LLAMA | {"tie_word_embeddings": True}),
    "qwen2": ("qwen2", LLAMA | {"tie_word_embeddings": False}),
    "biased": ("llama", LLAMA | {"attention_bias": True, "mlp_bias": True}),
    "gpt2": ("gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "gemma": ("gemma", LLAMA | {"tie_word_embeddings": True}),
    "moe": ("mixtral", LLAMA | {"num_local_experts": 3, "tie_word_embeddings": False}),
}
"""Name -> model type, settings. `gemma` scales the rows of its embedding."""


@dataclasses.dataclass(frozen=True)
class Workshop:
    """Makes base models and adapters in a directory."""

    directory: Path
    tokenizer: PreTrainedTokenizerBase

    def base(self, name: str, *, dtype: torch.dtype = torch.float32) -> Path:
        """A saved base model with weights large enough that each matters."""
        path = self.directory / f"{name}-{str(dtype).removeprefix('torch.')}"
        if not path.exists():
            kind, settings = BASES[name]
            common = {"vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
            torch.manual_seed(0)
            config = CONFIG_MAPPING[kind](**(common | settings))
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
            for parameter in model.parameters():
                nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
            model.save_pretrained(path)
            self.tokenizer.save_pretrained(path)
        return path

    def adapter(
        self, name: str, base: Path, *, change: Callable[[Any], None] | None = None, **settings: Any
    ) -> Path:
        """A saved adapter of the base, with random weights in everything that trains."""
        path = self.directory / name
        model = stock(base)
        if change is not None:
            change(model)
        common: dict[str, Any] = {"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM"}
        with unwarned():
            wrapped = get_peft_model(model, LoraConfig(**(common | settings)))
            randomise(wrapped)
            wrapped.peft_config["default"].base_model_name_or_path = str(base)
            wrapped.save_pretrained(str(path))
        return path


@contextmanager
def unwarned() -> Iterator[None]:
    """peft warns about tied embeddings, resized embeddings and much else, all of it meant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def stock(base: Path) -> PreTrainedModel:
    """The base model as transformers loads it; a copy, because peft changes it in place."""
    model: PreTrainedModel = copy.deepcopy(_loaded(base))
    return model


@functools.cache
def _loaded(base: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    model.eval()
    return model


def randomise(model: nn.Module) -> None:
    """Move each trained weight away from where it starts."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)


def peft_logits(
    adapter: Path, base: Path, *, rows: int | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """What peft's unmerged model computes, `[len, vocab]`, float32.

    Args:
        adapter: its directory.
        base: the base model's directory.
        rows: resize the embeddings first, as peft asks its users to.
        dtype: to compute in; None: the base model's.
    """
    model = stock(base)
    model.to(dtype or model.dtype)  # type: ignore[arg-type]  # wrapped method
    with unwarned():
        if rows is not None:
            model.resize_token_embeddings(rows)
        wrapped = PeftModel.from_pretrained(model, str(adapter)).eval()
    return logits_of(wrapped)


@torch.no_grad()
def logits_of(model: nn.Module) -> Tensor:
    logits: Tensor = model(input_ids=IDS).logits[0].float()
    return logits


def our_logits(model: QuietStarModel) -> Tensor:
    return model.think(IDS, num_thought_tokens=0).base_logits[0]


def read_config(adapter: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((adapter / "adapter_config.json").read_text())
    return values


def edit_config(adapter: Path, **changes: Any) -> None:
    """Change keys of the adapter's config; the value `...` removes the key."""
    values = {key: v for key, v in (read_config(adapter) | changes).items() if v is not ...}
    (adapter / "adapter_config.json").write_text(json.dumps(values))


def edit_tensors(adapter: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def refused(adapter: Path, message: str) -> None:
    """Check that loading ends in one line that matches the pattern."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(adapter, dtype="float32", device="cpu")
    assert "\n" not in str(caught.value)

"""Toy checkpoints of every format, with the golden tokenizer and random weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from qstar_infer.checkpoint import init_model, save_model

GOLDEN = Path(__file__).parents[1] / "golden"

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def plain_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """The golden tokenizer without its two delimiters: 500 ids."""
    directory = tmp_path_factory.mktemp("tokenizer")
    source = GOLDEN / "A" / "checkpoint"
    content = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < 500]
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory)
    return tokenizer


@pytest.fixture(scope="session")
def toy_backbone() -> Callable[..., PreTrainedModel]:
    """A random model: `toy_backbone("llama", dtype=torch.bfloat16, num_hidden_layers=1)`."""

    def make(
        model_type: str = "llama", *, dtype: torch.dtype = torch.float32, **settings: Any
    ) -> PreTrainedModel:
        values = {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": 512,
            "max_position_embeddings": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "tie_word_embeddings": False,
        }
        torch.manual_seed(0)
        config = CONFIG_MAPPING[model_type](**(values | settings))
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
        return model

    return make


@pytest.fixture
def make_plain(
    tmp_path: Path,
    toy_backbone: Callable[..., PreTrainedModel],
    plain_tokenizer: PreTrainedTokenizerBase,
) -> ToyMaker:
    """Saves a plain toy model and returns its directory."""

    def make(model_type: str = "llama", *, name: str = "plain", **settings: Any) -> Path:
        directory = tmp_path / name
        toy_backbone(model_type, **settings).save_pretrained(directory)
        plain_tokenizer.save_pretrained(directory)
        return directory

    return make


@pytest.fixture
def native(make_plain: ToyMaker, tmp_path: Path) -> Path:
    """A native checkpoint with fresh thought parts."""
    model = init_model(make_plain(), num_thought_tokens=3, device="cpu")
    save_model(model, tmp_path / "native")
    return tmp_path / "native"


@pytest.fixture
def adapted(make_plain: ToyMaker, tmp_path: Path) -> Path:
    """A native checkpoint whose backbone is an adapter for `../plain`."""
    base = AutoModelForCausalLM.from_pretrained(make_plain())
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    wrapped = get_peft_model(base, config)
    torch.manual_seed(5)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.1)
    directory = tmp_path / "adapted"
    wrapped.peft_config["default"].base_model_name_or_path = "../plain"
    wrapped.save_pretrained(str(directory), save_embedding_layers=False)
    save_model(init_model(tmp_path / "plain"), tmp_path / "full")
    for name in ("quiet_star.json", "quiet_star.safetensors"):
        shutil.copy(tmp_path / "full" / name, directory / name)
    return directory


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A writable copy of golden A, in the published format."""
    return Path(shutil.copytree(GOLDEN / "A" / "checkpoint", tmp_path / "published"))


@pytest.fixture
def edit_json() -> JsonEditor:
    """Change keys of a JSON file; the value `...` removes the key."""

    def edit(path: Path, **changes: Any) -> None:
        content = json.loads(path.read_text(encoding="utf-8")) | changes
        kept = {key: value for key, value in content.items() if value is not ...}
        path.write_text(json.dumps(kept), encoding="utf-8")

    return edit


@pytest.fixture
def edit_tensors() -> Callable[[Path, Callable[[dict[str, Tensor]], object]], None]:
    """Change the tensors of a safetensors file with a function."""

    def edit(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return edit


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cut the last third off a file."""

    def cut(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])

    return cut

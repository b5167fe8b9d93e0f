"""Adapters name a base model, which is found, checked and merged with them."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor

from qstar_infer.checkpoint import load_model, load_source, save_model
from qstar_infer.checkpoint.load import load_from_args, load_tokenizer_of
from qstar_infer.checkpoint.packaged_base import BASE_MODEL
from qstar_infer.cli.main import main
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError, ConfigError

from .toys import QV, Workshop, our_logits, peft_logits, randomise, refused, stock, unwarned

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]

# Creating an adapter gives this warning; our loading code suppresses it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def _merged_by_hand(adapted: Path) -> dict[str, Tensor]:
    weights = load_file(adapted.parent / "plain" / "model.safetensors")
    adapter = load_file(adapted / "adapter_model.safetensors")
    for name in [n for n in adapter if n.endswith("lora_A.weight")]:
        stem = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        other = name.replace("lora_A", "lora_B")
        scale = LoraConfig().lora_alpha / 4
        weights[f"{stem}.weight"] += scale * (adapter[other] @ adapter[name])
    return weights


def test_adapter_is_merged(adapted: Path) -> None:
    model = load_model(adapted, device="cpu")
    assert model.can_think
    assert type(model.backbone).__name__ == "LlamaForCausalLM"
    for name, tensor in _merged_by_hand(adapted).items():
        torch.testing.assert_close(model.backbone.state_dict()[name], tensor)
    assert not any("lora" in name for name in model.backbone.state_dict())


def test_merged_checkpoint_round_trip(adapted: Path, tmp_path: Path) -> None:
    model = load_model(adapted)
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved").state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded[name]), name


def test_adapter_without_thought_parts_is_a_plain_model(adapted: Path) -> None:
    for name in ("quiet_star.json", "quiet_star.safetensors"):
        (adapted / name).unlink()
    assert not load_model(adapted).can_think


def test_the_tokenizer_alone_equals_the_loaded_models(adapted: Path) -> None:
    """It is the adapter's tokenizer if it has one, else that of the base."""
    for _ in range(2):
        model, tokenizer = load_model(adapted), load_tokenizer_of(adapted)
        assert tokenizer.get_vocab() == model.tokenizer.get_vocab()
        tokenizer.add_tokens(["another"])
        tokenizer.save_pretrained(adapted)
    assert "another" in load_tokenizer_of(adapted).get_vocab()
    (adapted.parent / "plain" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_tokenizer_of(adapted.parent / "plain")


def test_base_by_absolute_path(adapted: Path, edit_json: JsonEditor) -> None:
    base = str(adapted.parent / "plain")
    edit_json(adapted / "adapter_config.json", base_model_name_or_path=base, revision="main")
    assert load_model(adapted).can_think


def test_the_default_models_base_comes_from_its_package(
    adapted: Path, edit_json: JsonEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_json(adapted / "adapter_config.json", base_model_name_or_path=BASE_MODEL)
    monkeypatch.setattr(load_source, "base_source", lambda: str(adapted.parent / "plain"))
    for name, tensor in _merged_by_hand(adapted).items():
        torch.testing.assert_close(load_model(adapted).backbone.state_dict()[name], tensor)
    edit_json(adapted / "adapter_config.json", revision="a-revision")
    with pytest.raises(CheckpointError, match="at revision 'a-revision' could not be fetched"):
        load_model(adapted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_model_name_or_path": None}, "must name the base model"),
        ({"base_model_name_or_path": "../gone"}, "'../gone' is neither a directory"),
        ({"base_model_name_or_path": "x" * 5000}, "x' is neither a directory"),
        ({"base_model_name_or_path": "../full"}, "is itself an adapter or has thought parts"),
        ({"peft_type": "PROMPT_TUNING"}, "peft_type 'PROMPT_TUNING'; only LORA"),
        ({"auto_map": {}}, "the key 'auto_map'"),
        ({"r": 8}, "could not be loaded"),
        ({"target_modules": ["k_proj"]}, r"holds 8 tensors .*q_proj\.lora_A"),
    ],
)
def test_wrong_adapter_config(
    adapted: Path, edit_json: JsonEditor, change: dict[str, Any], message: str
) -> None:
    edit_json(adapted / "adapter_config.json", **change)
    with pytest.raises(CheckpointError, match=message):
        load_model(adapted)


def test_adapter_with_a_missing_tensor(adapted: Path, edit_tensors: TensorEditor) -> None:
    def halve(tensors: dict[str, Tensor]) -> None:
        for name in [n for n in tensors if "layers.1" in n]:
            del tensors[name]

    edit_tensors(adapted / "adapter_model.safetensors", halve)
    with pytest.raises(CheckpointError, match=r"lacks 4 tensors .*layers\.1"):
        load_model(adapted)


def test_adapter_that_is_not_finite(adapted: Path, edit_tensors: TensorEditor) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        next(iter(tensors.values()))[0, 0] = float("nan")

    edit_tensors(adapted / "adapter_model.safetensors", spoil)
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load_model(adapted)


def test_pickled_adapter(adapted: Path) -> None:
    (adapted / "adapter_model.safetensors").rename(adapted / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        load_model(adapted)


def test_quantised_adapter_is_sent_to_convert(
    adapted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    with pytest.raises(ConfigError, match="qstar convert"):
        load_model(adapted, quantization="nf4")


def test_of_several_adapters_the_root_is_loaded(workshop: Workshop, tmp_path: Path) -> None:
    """So does peft; without one in the root there is none to prefer."""
    path = workshop.base("llama")
    with unwarned():
        wrapped = get_peft_model(stock(path), LoraConfig(r=4, **QV))
        wrapped.add_adapter("other", LoraConfig(r=2, target_modules=["up_proj"]))
        randomise(wrapped)
        for config in wrapped.peft_config.values():
            config.base_model_name_or_path = str(path)
        wrapped.save_pretrained(str(tmp_path / "both"))
    for adapter in (tmp_path / "both", tmp_path / "both" / "other"):
        got = our_logits(load_model(adapter, dtype="float32", device="cpu"))
        torch.testing.assert_close(got, peft_logits(adapter, path), rtol=1e-4, atol=1e-4)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / "both" / name).unlink()
    refused(tmp_path / "both", r"some in its folders other\. One is loaded at a time: .*both/other")


def test_an_adapter_with_its_own_tokenizer_is_loaded_with_it(workshop: Workshop) -> None:
    adapter = workshop.adapter("tokenizer", workshop.base("llama"), **QV)
    tokenizer = copy.deepcopy(workshop.tokenizer)
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(adapter)
    model = load_model(adapter, dtype="float32", device="cpu")
    assert model.tokenizer.get_vocab()["another"] == 500
    wanted = peft_logits(adapter, workshop.base("llama"))
    torch.testing.assert_close(our_logits(model), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("entry", ["convert", "init", "engine"])
def test_each_way_of_loading_merges_alike(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """Over tied embeddings, whose copies must stay apart in what is written."""
    base = workshop.base("tied")
    targets = ["q_proj", "embed_tokens", "lm_head"]
    adapter = workshop.adapter(f"entry {entry}", base, target_modules=targets)
    if entry == "engine":
        model = load_from_args(EngineArgs(model=str(adapter), dtype="float32"))
    else:
        monkeypatch.setattr(sys, "argv", ["qstar", entry, str(adapter), str(tmp_path / "saved")])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        model = load_model(tmp_path / "saved", dtype="float32", device="cpu")
    assert model.can_think == (entry == "init")
    wanted = peft_logits(adapter, base)
    torch.testing.assert_close(our_logits(model), wanted, rtol=1e-4, atol=1e-4)


def test_peft_is_imported_for_adapters_alone() -> None:
    """It takes more than a second of each start, and 50 MB."""
    code = "import sys, qstar_infer.engine.create; sys.exit('peft' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

"""GGUF backbones: the tests write a toy file, so that all its tensors can be compared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.checkpoint.load import load_tokenizer_of
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels.quantised_linear import QuantisedLinear

_LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
} | {
    f"self_attn.{name}_proj.{part}": f"attn_{name}.{part}"
    for name in "qkv"
    for part in ("weight", "bias")
}
_OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def _gguf_name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER[rest]}"


def _write_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    vocabulary = tokenizer.get_vocab()
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=lambda token: vocabulary[token]))
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(vocabulary))])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


@pytest.fixture
def toy(toy_backbone: Callable[..., PreTrainedModel]) -> PreTrainedModel:
    return toy_backbone("qwen2")


@pytest.fixture
def toy_gguf(tmp_path: Path, toy: Any, plain_tokenizer: PreTrainedTokenizerBase) -> Path:
    """The toy as a float32 GGUF file."""
    (tmp_path / "gguf").mkdir()
    path = tmp_path / "gguf" / "toy.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(toy.config.num_hidden_layers)
    writer.add_context_length(toy.config.max_position_embeddings)
    writer.add_embedding_length(toy.config.hidden_size)
    writer.add_feed_forward_length(toy.config.intermediate_size)
    writer.add_head_count(toy.config.num_attention_heads)
    writer.add_head_count_kv(toy.config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(toy.config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(toy.config.vocab_size)
    _write_tokenizer(writer, plain_tokenizer)
    for name, tensor in toy.state_dict().items():
        writer.add_tensor(_gguf_name(name), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("by_directory", [False, True])
def test_gguf_gives_the_same_model_as_its_original(
    toy_gguf: Path, toy: PreTrainedModel, by_directory: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    source = toy_gguf.parent if by_directory else toy_gguf
    model = load_model(source, dtype="float32", device="cpu")
    assert not model.can_think
    loaded = model.backbone.state_dict()
    for name, tensor in toy.state_dict().items():
        assert torch.equal(loaded[name], tensor), name
    assert "Converting" not in capfd.readouterr().err
    assert load_tokenizer_of(source).get_vocab() == model.tokenizer.get_vocab()


def test_gguf_to_native(toy_gguf: Path, tmp_path: Path) -> None:
    model = init_model(toy_gguf, num_thought_tokens=2)
    assert model.backbone.dtype == torch.bfloat16
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved", dtype="stored")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    text = "any text at all"
    assert model.tokenizer(text)["input_ids"] == loaded.tokenizer(text)["input_ids"]


def test_another_tokenizer_replaces_that_of_a_gguf(
    toy_gguf: Path, tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    plain_tokenizer.save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "chat_template.jinja").write_text("{{ 'other' }}", encoding="utf-8")
    model = load_model(toy_gguf, tokenizer=tmp_path / "other")
    assert model.tokenizer.chat_template == "{{ 'other' }}"
    assert load_model(toy_gguf).tokenizer.chat_template is None


def test_other_files_in_the_directory_of_a_gguf_are_ignored(
    toy_gguf: Path, published: Path
) -> None:
    """Tokenizer and generation settings next to the file used to be loaded with it."""
    expected = load_model(toy_gguf)
    for path in published.glob("*token*"):
        shutil.copy(path, toy_gguf.parent)
    settings = toy_gguf.with_name("generation_config.json")
    settings.write_text('{"eos_token_id": 77}', encoding="utf-8")
    loaded = load_model(toy_gguf)
    assert loaded.tokenizer.get_vocab() == expected.tokenizer.get_vocab()
    assert "<|startthought|>" not in loaded.tokenizer.get_vocab()
    assert loaded.backbone.generation_config.eos_token_id == 2


@pytest.mark.parametrize("share", [0.999, 0.6, 0.02])
def test_truncated_gguf(toy_gguf: Path, share: float) -> None:
    content = toy_gguf.read_bytes()
    toy_gguf.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match="its download is not complete"):
        load_model(toy_gguf)


def test_file_that_only_has_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 not gguf")
    with pytest.raises(CheckpointError, match="is not a GGUF file"):
        load_model(tmp_path / "x.gguf")


def test_directory_with_several_gguf_files(toy_gguf: Path) -> None:
    toy_gguf.with_name("second.gguf").write_bytes(toy_gguf.read_bytes())
    with pytest.raises(CheckpointError, match=r"2 \.gguf files \(second\.gguf, toy\.gguf\)"):
        load_model(toy_gguf.parent)


def test_quantization_is_not_stacked(toy_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    with pytest.raises(ConfigError, match="qstar convert"):
        load_model(toy_gguf, quantization="int8")


def test_the_dequantised_weights_are_rounded_for_a_cpu(toy_gguf: Path) -> None:
    model = load_model(toy_gguf, device="cpu", quantization="int8-cpu")
    assert any(isinstance(layer, QuantisedLinear) for layer in model.backbone.modules())

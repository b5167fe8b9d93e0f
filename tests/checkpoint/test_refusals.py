"""Unsafe, damaged and incomplete checkpoints are rejected, with the reason."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qstar_infer.checkpoint import load_model, safety
from qstar_infer.errors import CheckpointError

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]


class _Bomb:
    """Unpickling this fails the test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was opened",))


def _write_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Bomb()))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickled_weights_only(make_plain: ToyMaker, name: str) -> None:
    directory = make_plain()
    (directory / "model.safetensors").unlink()
    _write_bomb(directory / name)
    with pytest.raises(CheckpointError, match=rf"{name}.*pickle.*save_pretrained"):
        load_model(directory)
    with pytest.raises(CheckpointError, match="pickle"):
        load_model(directory / name)


def test_pickle_next_to_safetensors_is_not_opened(make_plain: ToyMaker) -> None:
    directory = make_plain()
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin"):
        _write_bomb(directory / name)
    assert load_model(directory).thought_parts is None


def test_index_that_names_a_pickle(make_plain: ToyMaker) -> None:
    directory = make_plain()
    names = load_file(directory / "model.safetensors").keys()
    (directory / "model.safetensors").rename(directory / "other.safetensors")
    _write_bomb(directory / "weights.bin")
    index = {"weight_map": dict.fromkeys(names, "weights.bin")}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"weights\.bin"):
        load_model(directory)


def test_index_with_a_path_outside_of_the_directory(make_plain: ToyMaker) -> None:
    directory = make_plain(max_position_embeddings=64)
    (directory / "model.safetensors").rename(directory.parent / "outside.safetensors")
    index = {"weight_map": {"lm_head.weight": "../outside.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(
        CheckpointError, match="a shard is a .safetensors file in the same directory"
    ):
        load_model(directory)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization_x.X", None]}}),
        ("config.json", {"trust_remote_code": True}),
        ("config.json", {"_attn_implementation": "sdpa"}),
        ("config.json", {"_attn_implementation_internal": "someone/kernel"}),
        ("config.json", {"attn_implementation": "someone/kernel"}),
        ("config.json", {"_experts_implementation": "someone/kernel"}),
        ("config.json", {"_attn_function": "someone/kernel"}),
        ("config.json", {"text_config": {"_attn_implementation_internal": "someone/kernel"}}),
        ("config.json", {"parts": [{"auto_map": {}}]}),
        ("generation_config.json", {"auto_map": {}}),
    ],
)
def test_json_that_names_code(
    make_plain: ToyMaker, edit_json: JsonEditor, file: str, change: dict[str, Any]
) -> None:
    directory = make_plain()
    edit_json(directory / file, **change)
    with pytest.raises(CheckpointError, match=rf"{file} has the key '"):
        load_model(directory)


@pytest.mark.parametrize("value", [{"quant_method": "mxfp4"}, {}, "gptq"])
def test_foreign_quantization(make_plain: ToyMaker, edit_json: JsonEditor, value: Any) -> None:
    """Such a config may download kernels from a hub and run them."""
    directory = make_plain()
    edit_json(directory / "config.json", quantization_config=value)
    with pytest.raises(CheckpointError, match="only bitsandbytes is supported"):
        load_model(directory)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "JSON object, not list"),
        ("", "not valid JSON"),
        pytest.param("[" * 100_000, "not valid JSON", id="deep"),
        pytest.param(f'{{"a": {"9" * 5000}}}', "not valid JSON", id="long"),
    ],
)
def test_wrong_json(make_plain: ToyMaker, file: str, text: str, message: str) -> None:
    directory = make_plain()
    (directory / file).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"{file} .*{message}"):
        load_model(directory)


def test_json_that_is_not_text(make_plain: ToyMaker) -> None:
    directory = make_plain()
    (directory / "config.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        load_model(directory)


def test_code_is_found_at_any_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions of Python parse deeper nesting than a recursive search can handle."""
    content: dict[str, Any] = {"auto_map": {}}
    for _ in range(5000):
        content = {"a": [content]}
    monkeypatch.setattr(safety, "read_json_if_present", lambda _: content)
    with pytest.raises(CheckpointError, match="has the key 'auto_map'"):
        safety.check_no_code(tmp_path)


@pytest.mark.parametrize("value", ["x", [2, "x"], [None], True, 2.0])
def test_wrong_end_of_sequence_ids(make_plain: ToyMaker, edit_json: JsonEditor, value: Any) -> None:
    """They used to give a traceback in the engine."""
    directory = make_plain()
    edit_json(directory / "generation_config.json", eos_token_id=value)
    with pytest.raises(CheckpointError, match="eos_token_id"):
        load_model(directory)


def test_a_tokenizer_that_cannot_encode(make_plain: ToyMaker, edit_json: JsonEditor) -> None:
    """transformers reads it, and fails at each text. It used to give a traceback in the engine."""
    directory = make_plain()
    edit_json(directory / "tokenizer_config.json", model_max_length="long")
    with pytest.raises(CheckpointError, match="The tokenizer in .* could not be loaded: TypeError"):
        load_model(directory)


@pytest.mark.parametrize("name", ["~nobodyhere/x", "x" * 5000], ids=["user", "long"])
def test_name_that_cannot_be_a_path(name: str) -> None:
    """It used to give a traceback in pathlib."""
    with pytest.raises(CheckpointError, match="is neither a directory"):
        load_model(name)


def test_truncated_weights(make_plain: ToyMaker, truncate: Callable[[Path], None]) -> None:
    directory = make_plain()
    truncate(directory / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated"):
        load_model(directory)


def test_empty_weights(make_plain: ToyMaker) -> None:
    directory = make_plain()
    (directory / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated .* has 0 bytes"):
        load_model(directory)


@pytest.fixture
def sharded(make_plain: ToyMaker) -> Path:
    """A plain model in two shards."""
    directory = make_plain()
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    weight_map: dict[str, str] = {}
    for index in (1, 2):
        shard = f"model-{index:05d}-of-00002.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[index - 1 :: 2]}
        save_file(part, directory / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    text = json.dumps({"metadata": {}, "weight_map": weight_map})
    (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return directory


def test_truncated_shard(sharded: Path, truncate: Callable[[Path], None]) -> None:
    truncate(sharded / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="model-00002-of-00002.safetensors is truncated"):
        load_model(sharded)


def test_missing_shard(sharded: Path) -> None:
    (sharded / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks the shard model-00001-of-00002.safetensors"):
        load_model(sharded)


def test_shard_of_another_checkpoint(sharded: Path) -> None:
    path = sharded / "model-00001-of-00002.safetensors"
    save_file({"unrelated": torch.zeros(2)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="of different checkpoints"):
        load_model(sharded)


def _add_to_shard(path: Path, name: str) -> None:
    tensors = load_file(path) if path.exists() else {}
    tensors[name] = torch.ones(3)
    save_file(tensors, path, metadata={"format": "pt"})


def test_shard_that_the_index_does_not_name(sharded: Path) -> None:
    _add_to_shard(sharded / "model-00003-of-00003.safetensors", "model.layers.9.x")
    with pytest.raises(CheckpointError, match=r"holds model-00003.*does not name"):
        load_model(sharded)


def test_tensor_that_the_index_does_not_name(sharded: Path) -> None:
    """transformers reads it nevertheless."""
    _add_to_shard(sharded / "model-00002-of-00002.safetensors", "model.layers.9.x")
    with pytest.raises(CheckpointError, match=r"model\.layers\.9\.x, .*names no file"):
        load_model(sharded)


def test_tensor_in_two_shards(sharded: Path) -> None:
    """transformers takes the last, whatever the index says."""
    first, second = sorted(sharded.glob("model-*.safetensors"))
    _add_to_shard(second, next(iter(load_file(first))))
    with pytest.raises(CheckpointError, match=r"00002 holds .*names model-00001|names model-00001"):
        load_model(sharded)


def test_index_beside_a_single_file(sharded: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for shard in sharded.glob("model-*.safetensors"):
        tensors |= load_file(shard)
        shard.unlink()
    save_file(tensors, sharded / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"states its weights twice"):
        load_model(sharded)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {"a": 1}}])
def test_index_without_map(sharded: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content)
    (sharded / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="no 'weight_map'"):
        load_model(sharded)


def test_missing_backbone_tensor(make_plain: ToyMaker) -> None:
    """transformers would initialise it randomly and continue."""
    directory = make_plain()
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 tensor .*layers\.1\.self_attn\.q_proj"):
        load_model(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intermediate_size": 64}, r"down_proj.weight in .* shape \[32, 48\], .* for \[32, 64\]"),
        ({"vocab_size": 600}, r"lm_head.weight in .* shape \[512, 32\], .* for \[600, 32\]"),
        ({"hidden_size": 64}, r"lm_head.weight in .* shape \[512, 32\], .* for \[512, 64\]"),
    ],
)
def test_config_that_does_not_fit(
    make_plain: ToyMaker, edit_json: JsonEditor, change: dict[str, Any], message: str
) -> None:
    directory = make_plain()
    edit_json(directory / "config.json", **change)
    with pytest.raises(CheckpointError, match=message):
        load_model(directory)


def test_misshapen_backbone_tensor(make_plain: ToyMaker, edit_tensors: TensorEditor) -> None:
    directory = make_plain()
    name = "model.layers.1.self_attn.q_proj.weight"
    edit_tensors(directory / "model.safetensors", lambda t: t.update({name: torch.zeros(16, 32)}))
    with pytest.raises(CheckpointError, match=rf"{name} in .* \[16, 32\], .* \[32, 32\]\."):
        load_model(directory)


def test_bias_of_the_output_embedding(make_plain: ToyMaker, edit_tensors: TensorEditor) -> None:
    directory = make_plain()
    path = directory / "model.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({"lm_head.bias": torch.ones(512)}))
    with pytest.raises(CheckpointError, match=r"holds 1 tensor \(lm_head\.bias\) .*no bias"):
        load_model(directory)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_backbone_that_is_not_finite(
    make_plain: ToyMaker, edit_tensors: TensorEditor, value: float
) -> None:
    directory = make_plain()
    name = "model.layers.1.mlp.up_proj.weight"

    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[name][3, 5] = value

    edit_tensors(directory / "model.safetensors", spoil)
    with pytest.raises(CheckpointError, match=f"{name} .* NaN or infinite"):
        load_model(directory)


def test_no_weights(make_plain: ToyMaker) -> None:
    directory = make_plain()
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        load_model(directory)


def test_no_tokenizer(make_plain: ToyMaker) -> None:
    directory = make_plain()
    (directory / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer .*base model"):
        load_model(directory)


def test_damaged_tokenizer(make_plain: ToyMaker) -> None:
    directory = make_plain()
    (directory / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match="The tokenizer in .* could not be loaded"):
        load_model(directory)


def test_tokenizer_larger_than_embedding(make_plain: ToyMaker) -> None:
    directory = make_plain(vocab_size=499)
    with pytest.raises(CheckpointError, match="ids up to 499, but the embedding has only 499 rows"):
        load_model(directory)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "neither a directory, nor a .gguf file, nor a hub id"),
        ("../nowhere", "neither a directory"),
        ("a/b/c", "neither a directory"),
        ("", "neither a directory"),
    ],
)
def test_source_that_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_model(name)


def test_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("model.safetensors", "give the directory"), ("notes.txt", "unknown kind"), ("x", "unknown")],
)
def test_file_of_another_kind(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / name)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2"])
def test_more_layers_than_any_model(
    make_plain: ToyMaker, edit_json: JsonEditor, model_type: str
) -> None:
    """Building it, even without weights, would fill the memory before the files are compared."""
    directory = make_plain(model_type)
    key = "n_layer" if model_type == "gpt2" else "num_hidden_layers"
    edit_json(directory / "config.json", **{key: 2 * 10**9})
    with pytest.raises(CheckpointError, match=f"{key} = 2000000000"):
        load_model(directory)

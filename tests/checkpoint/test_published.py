"""The published format: comparison with the paper's code, and variants of the files."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import CheckpointError

JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]


@pytest.mark.parametrize(("name", "length"), [("A", 5), ("C", 9)])
def test_length_is_inferred_and_recorded(
    golden: Path, caplog: pytest.LogCaptureFixture, name: str, length: int
) -> None:
    with caplog.at_level(logging.INFO, logger="qstar_infer"):
        model = load_model(golden / name / "checkpoint")
    assert model.config is not None
    assert model.config.num_thought_tokens == length
    assert model.config.num_talk_tokens == 4
    (note,) = model.config.notes
    assert f"num_thought_tokens = {length} was inferred from max_thoughts = {length + 8}" in note
    assert note in caplog.text


@pytest.mark.parametrize("name", ["A", "C"])
@pytest.mark.parametrize("vectors", ["kept", "literal"])
def test_thought_vectors_equal_those_the_reference_feeds(
    golden: Path, name: str, vectors: Any
) -> None:
    model = load_model(golden / name / "checkpoint", thought_vectors=vectors)
    expected = load_file(golden / name / "eval.safetensors")
    assert model.thought_parts is not None
    # The reference divides by 100 and multiplies again in float32, with a rounding error of 1e-7.
    tolerance: dict[str, Any] = {"rtol": 2e-7, "atol": 0.0}
    start, end = expected[f"{vectors}.start_vector"], expected[f"{vectors}.end_vector"]
    torch.testing.assert_close(model.thought_parts.start_thought.data, start, **tolerance)
    torch.testing.assert_close(model.thought_parts.end_thought.data, end, **tolerance)


def test_backbone_is_a_complete_stock_model(golden: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tensors and config keys that are not part of the backbone are removed, without a warning."""
    model = load_model(golden / "A" / "checkpoint")
    assert type(model.backbone).__name__ == "MistralForCausalLM"
    assert not hasattr(model.backbone.config, "max_thoughts")
    assert not hasattr(model.backbone.config, "use_concat_talk_head")
    stored = load_file(golden / "A" / "checkpoint" / "model.safetensors")
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, stored[name]), name
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_talk_head_has_the_stored_weights(golden: Path) -> None:
    model = load_model(golden / "A" / "checkpoint")
    stored = load_file(golden / "A" / "checkpoint" / "model.safetensors")
    assert model.thought_parts is not None
    for name, tensor in model.thought_parts.talk_head.state_dict().items():
        assert torch.equal(tensor, stored[f"talk_head.0.{name}"]), name


def test_delimiters_are_found_by_name_in_any_order(published: Path) -> None:
    """In the real checkpoint the end token has the smaller id."""
    _swap_delimiters(published)
    model = load_model(published)
    assert model.config is not None
    assert model.config.start_thought_token_id == 501
    assert model.config.end_thought_token_id == 500


def test_bfloat16_in_shards(published: Path) -> None:
    """The real checkpoint is stored like this."""
    original = load_file(published / "model.safetensors")
    tensors = {name: tensor.bfloat16() for name, tensor in original.items()}
    (published / "model.safetensors").unlink()
    _save_sharded(tensors, published, num_shards=3)
    config = json.loads((published / "config.json").read_text(encoding="utf-8"))
    config["torch_dtype"] = "bfloat16"
    (published / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_model(published, dtype="stored")
    assert model.backbone.dtype == torch.bfloat16
    assert model.thought_parts is not None
    expected = tensors["start_embedding"][0].float() * 100
    assert torch.equal(model.thought_parts.start_thought.data, expected)
    assert model.thought_parts.start_thought.dtype == torch.float32
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def test_literal_vectors_in_bfloat16_are_the_plain_embedding(published: Path) -> None:
    model = load_model(published, dtype="bfloat16", thought_vectors="literal")
    assert model.thought_parts is not None
    row = model.backbone.get_input_embeddings().get_parameter("weight")[274].float()
    assert torch.equal(model.thought_parts.end_thought.data, row)


@pytest.mark.parametrize("hint", [..., None, 8, 0, -3, "13", 13.0, True])
def test_length_that_cannot_be_inferred_must_be_given(
    published: Path, edit_json: JsonEditor, hint: Any
) -> None:
    edit_json(published / "config.json", max_thoughts=hint)
    with pytest.raises(
        CheckpointError, match="pass num_thought_tokens.*--num-thought-tokens N to `qstar serve`"
    ):
        load_model(published)
    model = load_model(published, num_thought_tokens=7)
    assert model.num_thought_tokens == 7
    assert model.config is not None
    assert "num_thought_tokens = 7 was given by the caller" in model.config.notes[0]


def test_smallest_length_that_can_be_inferred(published: Path, edit_json: JsonEditor) -> None:
    edit_json(published / "config.json", max_thoughts=9)
    assert load_model(published).num_thought_tokens == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("use_concat_talk_head", False),
        ("use_complex_talk_head", False),
        ("use_weighted_talk_head", False),
        ("use_shallow_talk", True),
        ("merged_lm_and_talk_heads", True),
        ("use_weighted_talk_head", 1),
    ],
)
def test_other_kinds_of_talk_head_are_rejected(
    published: Path, edit_json: JsonEditor, flag: str, value: Any
) -> None:
    edit_json(published / "config.json", **{flag: value})
    with pytest.raises(CheckpointError, match=f"{flag} = {value}"):
        load_model(published)


def test_absent_flags_mean_their_defaults(published: Path, edit_json: JsonEditor) -> None:
    edit_json(published / "config.json", use_concat_talk_head=..., use_shallow_talk=...)
    assert load_model(published).can_think


def test_flags_that_the_public_code_never_reads_change_nothing(
    published: Path, edit_json: JsonEditor
) -> None:
    edit_json(published / "config.json", merged_talk_heads=False, use_shallow_think=False)
    assert load_model(published).can_think


@pytest.mark.parametrize(
    "name", ["start_embedding", "end_embedding", "talk_head.0.2.bias", "talk_head.0.4.weight"]
)
def test_missing_thought_part(published: Path, edit_tensors: TensorEditor, name: str) -> None:
    edit_tensors(published / "model.safetensors", lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=f"lacks the thought parts {name}"):
        load_model(published)


def test_all_thought_parts_missing(published: Path, edit_tensors: TensorEditor) -> None:
    """A config with thoughts but without their tensors is an error, not a plain model."""

    def strip(tensors: dict[str, Tensor]) -> None:
        for name in [n for n in tensors if not n.startswith(("model.", "lm_head."))]:
            del tensors[name]

    edit_tensors(published / "model.safetensors", strip)
    with pytest.raises(CheckpointError, match="lacks the thought parts"):
        load_model(published)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("start_embedding", torch.zeros(64)),
        ("end_embedding", torch.zeros(2, 32)),
        ("talk_head.0.0.weight", torch.zeros(64, 64)),
        ("talk_head.0.4.weight", torch.zeros(502, 64)),
        ("talk_head.0.2.bias", torch.zeros(64, dtype=torch.int32)),
    ],
)
def test_misshapen_thought_part(
    published: Path, edit_tensors: TensorEditor, name: str, tensor: Tensor
) -> None:
    edit_tensors(published / "model.safetensors", lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(CheckpointError, match=f"{name} in .* (this backbone needs|has dtype I32)"):
        load_model(published)


def test_several_talk_heads_are_rejected(published: Path, edit_tensors: TensorEditor) -> None:
    extra = {"talk_head.1.0.weight": torch.zeros(64, 128)}
    edit_tensors(published / "model.safetensors", lambda tensors: tensors.update(extra))
    with pytest.raises(CheckpointError, match=r"talk_head\.1\.0\.weight"):
        load_model(published)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_thought_parts_that_are_not_finite(
    published: Path, edit_tensors: TensorEditor, value: float
) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["talk_head.0.0.weight"][3, 5] = value

    edit_tensors(published / "model.safetensors", spoil)
    with pytest.raises(CheckpointError, match=r"talk_head\.0\.0\.weight .* 1 of 8192 values"):
        load_model(published)


def test_tokenizer_without_delimiters(published: Path, plain_tokenizer: Any) -> None:
    for path in published.glob("*token*"):
        path.unlink()
    plain_tokenizer.save_pretrained(published)
    with pytest.raises(CheckpointError, match=r"lacks <\|startthought\|>"):
        load_model(published)


def _swap_delimiters(directory: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (directory / name).read_text(encoding="utf-8")
        text = text.replace("<|startthought|>", "\0").replace("<|endthought|>", "<|startthought|>")
        (directory / name).write_text(text.replace("\0", "<|endthought|>"), encoding="utf-8")


def _save_sharded(tensors: dict[str, Tensor], directory: Path, *, num_shards: int) -> None:
    weight_map: dict[str, str] = {}
    for index in range(num_shards):
        shard = f"model-{index + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {name: tensors[name] for name in sorted(tensors)[index::num_shards]}
        save_file(part, directory / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard)
    index_file = directory / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")

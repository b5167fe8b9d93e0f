"""What a layout says of a checkpoint, and what it refuses, without its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.layouts.find import describe_layout
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import TalkHeadConfig

from .makers.common import END_ID, HIDDEN, START_ID, Made
from .makers.mix_head import make_mix_head
from .makers.mixer_head import WIDTH, make_mixer_head
from .makers.reference import make_reference

JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]


@pytest.fixture(autouse=True)
def _no_model_is_built(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "loads" not in request.node.name:
        monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)


@pytest.mark.parametrize(
    ("max_thoughts", "length", "num_talk_tokens"),
    [
        (25, 13, 8),
        (17, 9, 4),
        (13, 5, 4),
        (11, 5, 2),
        (9, 1, 4),
        (12, 4, 4),
        (30, 22, 4),
        (3, 0, 4),
        (8, None, 4),
        (4, None, 4),
        (None, None, 4),
        (3.0, None, 4),
        (True, None, 4),
    ],
)
def test_lengths_of_the_papers_code(
    tmp_path: Path, max_thoughts: Any, length: int | None, num_talk_tokens: int
) -> None:
    made = make_reference(tmp_path / "checkpoint", max_thoughts=max_thoughts)
    layout = describe_layout(made.directory)
    assert layout is not None
    assert layout.num_thought_tokens == length
    assert layout.num_talk_tokens == num_talk_tokens
    assert f"max_thoughts = {max_thoughts!r}" in layout.notes[0]
    assert layout.talk_head == TalkHeadConfig.standard(HIDDEN)


def test_an_ambiguous_length_is_noted(tmp_path: Path) -> None:
    layout = describe_layout(make_reference(tmp_path / "x", max_thoughts=25).directory)
    assert layout is not None
    assert "with the paper's 4 it would be 17 tokens" in layout.notes[0]
    assert "pass num_thought_tokens to override it" in layout.notes[0]


def test_heads_of_other_layouts(tmp_path: Path) -> None:
    layout = describe_layout(make_mix_head(tmp_path / "mix").directory)
    assert layout is not None
    assert layout.name == "HansPolo113/QuietSTaR"
    assert (layout.num_thought_tokens, layout.num_talk_tokens) == (3, 4)
    assert layout.talk_head.sigmoid
    layout = describe_layout(make_mixer_head(tmp_path / "mixer", look_ahead=2).directory)
    assert layout is not None
    assert layout.name == "dimitriye98/quiet-star"
    assert (layout.num_thought_tokens, layout.num_talk_tokens) == (3, 2)
    assert layout.delimiter_ids == (START_ID, END_ID)
    assert layout.talk_head.layers == ((WIDTH, 2 * HIDDEN), (1, WIDTH))
    assert layout.own.prefix == "_lm_model."
    assert all(name.startswith("confidence_head.") for name in layout.without_effect)


def test_other_models_have_no_layout(make_plain: Callable[..., Path]) -> None:
    assert describe_layout(make_plain()) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("thought_depth", ..., "has thought_depth = None; it must be an integer"),
        ("thought_depth", 0, "has thought_depth = 0; it must be an integer of at least 1"),
        ("mixer_head_activation", "gelu", "mixer_head_activation = 'gelu'; only 'relu'"),
        ("mixer_head_hidden_layers", 2, "mixer_head_hidden_layers = 2; only 0 and 1"),
        ("mixer_head_hidden_layers", 0, "holds unknown tensors|lacks the thought parts"),
        ("mixer_head_hidden_size", 16, r"has shape \[24, 64\]; this backbone needs \[16, 64\]"),
        ("confidence_parameter", 0.5, "confidence_parameter = 0.5; only 0 is supported: reusing"),
        ("host_thought_token_embeddings", False, "unknown tensors: end_token_embedding"),
        ("thought_temperature", "hot", "thought_temperature: "),
        ("look_ahead", -1, "has look_ahead = -1"),
        ("end_thought_token", "x", "has end_thought_token = 'x'"),
    ],
)
def test_settings_of_dimitriye98_that_change_the_numbers_are_refused(
    tmp_path: Path, edit_json: JsonEditor, key: str, value: Any, message: str
) -> None:
    made = make_mixer_head(tmp_path / "mixer")
    edit_json(made.directory / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=message):
        describe_layout(made.directory)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("thought_length", ..., "has thought_length = None"),
        ("thought_length", True, "has thought_length = True"),
        ("n_true", "4", "has n_true = '4'"),
        ("hidden_size", 16, "this backbone needs"),
    ],
)
def test_settings_of_hanspolo113(
    tmp_path: Path, edit_json: JsonEditor, key: str, value: Any, message: str
) -> None:
    made = make_mix_head(tmp_path / "mix")
    edit_json(made.directory / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=message):
        describe_layout(made.directory)


def test_an_adapter_that_was_not_merged_is_refused(
    tmp_path: Path, edit_tensors: TensorEditor
) -> None:
    """The code of dimitriye98 trains one inside of `_lm_model`."""
    made = make_mixer_head(tmp_path / "mixer")
    name = "_lm_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"
    edit_tensors(
        made.directory / "model.safetensors",
        lambda tensors: tensors.update({name: torch.zeros(4, HIDDEN)}),
    )
    with pytest.raises(CheckpointError, match="Merge the adapter with .*merge_and_unload"):
        describe_layout(made.directory)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda path: make_reference(path, max_thoughts=13), "talk_head.0.4.weight"),
        (lambda path: make_reference(path, max_thoughts=13), "end_embedding"),
        (make_mix_head, "mix_head.2.bias"),
        (make_mixer_head, "mixer_head.mlp.1.bias"),
        (make_mixer_head, "mixer_head.mlp.4.bias"),
        (make_mixer_head, "start_token_embedding"),
    ],
)
def test_every_thought_tensor_must_be_there_with_its_shape(
    tmp_path: Path, edit_tensors: TensorEditor, make: Callable[[Path], Made], name: str
) -> None:
    path = make(tmp_path / "checkpoint").directory / "model.safetensors"
    kept: dict[str, Tensor] = {}
    edit_tensors(path, lambda tensors: kept.update({name: tensors.pop(name)}))
    with pytest.raises(CheckpointError, match=f"lacks the thought parts .*{name}"):
        describe_layout(path.parent)
    wider = {name: torch.zeros(7, *kept[name].shape)}
    edit_tensors(path, lambda tensors: tensors.update(wider))
    with pytest.raises(CheckpointError, match=f"{name} in .* this backbone needs"):
        describe_layout(path.parent)


@pytest.mark.parametrize(
    "name", ["talk_head.0.6.weight", "talk_head.0.4.bias", "mix_head.4.bias", "mixer_head.scale"]
)
def test_unknown_thought_tensors_are_refused(
    tmp_path: Path, edit_tensors: TensorEditor, name: str
) -> None:
    makers: dict[str, Callable[[Path], Made]] = {
        "talk_head": lambda path: make_reference(path, max_thoughts=13),
        "mix_head": make_mix_head,
        "mixer_head": make_mixer_head,
    }
    path = makers[name.split(".")[0]](tmp_path / "checkpoint").directory / "model.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({name: torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=f"holds unknown tensors: {name}"):
        describe_layout(path.parent)


def test_a_missing_length_that_is_given_loads(tmp_path: Path) -> None:
    made = make_reference(tmp_path / "checkpoint", max_thoughts=None)
    with pytest.raises(CheckpointError, match="pass num_thought_tokens to load_model"):
        load_model(made.directory)
    assert load_model(made.directory, num_thought_tokens=4).num_thought_tokens == 4

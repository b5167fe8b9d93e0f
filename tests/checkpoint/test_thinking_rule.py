"""A checkpoint says where it thinks: `thinking` in `quiet_star.json`, and the gate's tensors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.cli.inspection_text import inspection_lines
from qstar_infer.errors import CheckpointError
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from .inspection.agreement import check_agreement

JsonEditor = Callable[..., None]
TensorEditor = Callable[[Path, Callable[[dict[str, Tensor]], object]], None]

GATE = {"gate.weight": torch.arange(32.0)[None] / 32, "gate.bias": torch.tensor([-0.25])}
BEHIND = {"where": "behind", "tokens": ["</s>", 7]}


@pytest.fixture
def gated(native: Path, edit_json: JsonEditor, edit_tensors: TensorEditor) -> Path:
    """A native checkpoint that asks its gate."""
    edit_json(native / "quiet_star.json", thinking={"where": "gate"})
    edit_tensors(native / "quiet_star.safetensors", lambda tensors: tensors.update(GATE))
    return native


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # by peft
@pytest.mark.parametrize("source", ["native", "adapted"])
def test_tokens_to_think_behind_are_loaded_saved_and_inspected(
    source: str, edit_json: JsonEditor, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue(source)
    edit_json(directory / "quiet_star.json", thinking=BEHIND)
    model = load_model(directory, device="cpu")
    assert model.config is not None
    assert model.config.thinking == ThinkingRule(where="behind", tokens=("</s>", 7))
    trace = model.think(torch.tensor([[5, 2, 7, 6]]))
    assert trace.is_thinking.tolist() == [[False, True, True, False]]
    save_model(model, tmp_path / "saved")
    content = json.loads((tmp_path / "saved" / "quiet_star.json").read_text(encoding="utf-8"))
    assert content["thinking"] == BEHIND
    assert content["format_version"] == 1
    assert load_model(tmp_path / "saved", device="cpu").config == model.config
    assert check_agreement(directory) == "loaded"


def test_the_gate_is_loaded_saved_and_inspected(gated: Path, tmp_path: Path) -> None:
    model = load_model(gated, device="cpu", dtype="bfloat16")
    assert model.config is not None
    assert model.config.thinking == ThinkingRule(where="gate")
    gate = model.thinking_parts.gate
    assert gate is not None
    save_model(model, tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "quiet_star.safetensors")
    for name, tensor in GATE.items():
        held = getattr(gate, name.removeprefix("gate."))
        assert held.dtype == torch.float32
        assert torch.equal(held, tensor)
        assert torch.equal(saved[name], tensor)
    assert load_model(tmp_path / "saved", device="cpu").config == model.config
    assert check_agreement(tmp_path / "saved") == "loaded"


def test_a_file_says_nothing_of_thinking_everywhere(native: Path, edit_json: JsonEditor) -> None:
    """So programs that do not know the field can read it."""
    content = json.loads((native / "quiet_star.json").read_text(encoding="utf-8"))
    assert "thinking" not in content
    for change in ({}, {"thinking": {"where": "everywhere"}}):
        edit_json(native / "quiet_star.json", **change)
        config = load_model(native, device="cpu").config
        assert config is not None
        assert config.thinking == EVERYWHERE


def test_a_gate_may_be_there_for_requests(
    native: Path, edit_tensors: TensorEditor, tmp_path: Path
) -> None:
    edit_tensors(native / "quiet_star.safetensors", lambda tensors: tensors.update(GATE))
    model = load_model(native, device="cpu")
    ids = torch.tensor([[5, 2, 7, 6]])
    assert model.think(ids).is_thinking.all()
    model.think(ids, thinking={"where": "gate"})
    save_model(model, tmp_path / "saved")
    assert GATE.keys() <= load_file(tmp_path / "saved" / "quiet_star.safetensors").keys()
    assert check_agreement(tmp_path / "saved") == "loaded"


@pytest.mark.parametrize(
    ("thinking", "message"),
    [
        ("gate", "thinking must be dict, not 'gate'"),
        (None, "thinking must be dict, not None"),
        ({}, "thinking is no rule: it lacks where"),
        ({"where": "sometimes"}, "thinking is no rule: where must be one of"),
        ({"where": "gate", "layer": 3}, "thinking is no rule: it has unknown keys, 'layer'"),
        ({"where": "behind"}, 'thinking is no rule: the rule "behind" needs'),
        ({"where": "behind", "tokens": ["?", "<?>"]}, "the vocabulary has no token '<\\?>'"),
        ({"where": "behind", "tokens": [5, 512]}, "the vocabulary has no token 512"),
        (
            {"where": "gate"},
            r"quiet_star.safetensors has no gate \(gate.weight, gate.bias\), but quiet_star.json",
        ),
    ],
)
def test_a_rule_that_the_checkpoint_cannot_follow(
    native: Path, edit_json: JsonEditor, thinking: Any, message: str
) -> None:
    edit_json(native / "quiet_star.json", thinking=thinking)
    with pytest.raises(CheckpointError, match=f"quiet_star.json.*{message}|{message}") as caught:
        load_model(native, device="cpu")
    assert str(native) in str(caught.value)
    assert check_agreement(native) == "refused"


@pytest.mark.parametrize("rule", [{"where": "gate"}, {"where": "everywhere"}], ids=str)
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"gate.bias": None}, "lacks the thought parts gate.bias"),
        ({"gate.weight": None}, "lacks the thought parts gate.weight"),
        ({"gate.weight": torch.zeros(1, 33)}, r"gate.weight .* has shape \[1, 33\]"),
        ({"gate.weight": torch.zeros(32)}, r"gate.weight .* has shape \[32\]"),
        ({"gate.bias": torch.zeros(())}, r"gate.bias .* has shape \[\]"),
        ({"gate.bias": torch.tensor([float("nan")])}, "gate.bias .* 1 of 1 values"),
        ({"gate.bias": torch.zeros(1, dtype=torch.int64)}, "gate.bias .* has dtype I64"),
        ({"gate.2.bias": torch.zeros(1)}, "holds unknown tensors: gate.2.bias"),
    ],
)
def test_a_damaged_gate(
    gated: Path,
    edit_json: JsonEditor,
    edit_tensors: TensorEditor,
    rule: dict[str, str],
    tensors: dict[str, Tensor | None],
    message: str,
) -> None:
    def damage(found: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if tensor is None:
                del found[name]
            else:
                found[name] = tensor

    edit_json(gated / "quiet_star.json", thinking=rule)
    edit_tensors(gated / "quiet_star.safetensors", damage)
    with pytest.raises(CheckpointError, match=f"quiet_star.safetensors.*{message}|{message}"):
        load_model(gated, device="cpu")
    assert check_agreement(gated) == "refused"


@pytest.mark.parametrize(
    ("thinking", "has_gate", "line"),
    [
        ({"where": "everywhere"}, False, "before each token"),
        ({"where": "everywhere"}, True, "before each token; it has a gate, for requests that ask"),
        (BEHIND, False, "behind '</s>', 7"),
        ({"where": "gate"}, True, "where its gate says so"),
    ],
)
def test_an_inspection_says_where_the_model_thinks(
    native: Path,
    edit_json: JsonEditor,
    edit_tensors: TensorEditor,
    thinking: dict[str, Any],
    has_gate: bool,
    line: str,
) -> None:
    edit_json(native / "quiet_star.json", thinking=thinking)
    if has_gate:
        edit_tensors(native / "quiet_star.safetensors", lambda tensors: tensors.update(GATE))
    inspection = inspect_checkpoint(native)
    facts = inspection.to_json()["thinking"]
    assert (facts["thinking"], facts["has_gate"]) == (thinking, has_gate)
    json.dumps(facts)
    lines = [each for each in inspection_lines(inspection, width=None) if each[:6] == "thinks"]
    assert len(lines) == 1
    assert line in lines[0]

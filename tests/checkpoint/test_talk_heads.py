"""Talk heads of other shapes than the paper's: saved, loaded, refused, rewritten."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.checkpoint.layouts.heads import inverted, joined
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import TalkHeadConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import TalkHead, ThoughtParts

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]

HIDDEN = 32
STANDARD = TalkHeadConfig.standard(HIDDEN)
HEADS = {
    "sigmoid": TalkHeadConfig(
        hidden_size=HIDDEN, layers=STANDARD.layers, biases=STANDARD.biases, sigmoid=True
    ),
    "two layers": TalkHeadConfig(
        hidden_size=HIDDEN, layers=((64, 64), (1, 64)), biases=(True, True)
    ),
    "two layers, sigmoid": TalkHeadConfig(
        hidden_size=HIDDEN, layers=((24, 64), (1, 24)), biases=(False, True), sigmoid=True
    ),
    "last bias": TalkHeadConfig(
        hidden_size=HIDDEN, layers=STANDARD.layers, biases=(True, True, True)
    ),
    "one layer": TalkHeadConfig(hidden_size=HIDDEN, layers=((1, 64),), biases=(False,)),
}


def with_head(make_plain: ToyMaker, config: TalkHeadConfig) -> QuietStarModel:
    model = init_model(make_plain(), num_thought_tokens=2, device="cpu")
    torch.manual_seed(3)
    parts = ThoughtParts(HIDDEN, talk_head=config)
    parts.load_state_dict({name: torch.randn_like(t) for name, t in parts.state_dict().items()})
    model.thought_parts = parts
    return model.eval()


def weights_by_hand(head: TalkHead, states: Tensor) -> Tensor:
    """Written from the definition, in float64."""
    tensors = {name: tensor.double() for name, tensor in head.state_dict().items()}
    states = states.double()
    for index in range(len(head.config.layers)):
        states = states.relu() if index else states
        states = states @ tensors[f"{2 * index}.weight"].T + tensors.get(f"{2 * index}.bias", 0.0)
    return (states.sigmoid() if head.config.sigmoid else states)[..., 0]


@pytest.mark.parametrize("name", HEADS)
def test_the_weight_is_that_of_the_definition(name: str) -> None:
    torch.manual_seed(1)
    head = TalkHead(HEADS[name])
    base, thought = torch.randn(2, 5, HIDDEN)
    want = weights_by_hand(head, torch.cat([base, thought], -1))
    # Weights below 3 in size, from sums of 64 products in float32.
    torch.testing.assert_close(head.mixing_weight(base, thought).double(), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_round_trip(make_plain: ToyMaker, tmp_path: Path, name: str) -> None:
    model = with_head(make_plain, HEADS[name])
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved", device="cpu")
    assert loaded.thinking_parts.talk_head.config == HEADS[name]
    ids = torch.tensor([[5, 9, 11, 3]])
    got, want = loaded.think(ids), model.think(ids)
    assert torch.equal(got.mixing_weight, want.mixing_weight)
    assert torch.equal(got.logits, want.logits)
    assert want.mixing_weight.any()
    content = json.loads((tmp_path / "saved" / "quiet_star.json").read_text(encoding="utf-8"))
    assert content["format_version"] == 2, "so that programs without other heads refuse it"


def test_the_papers_head_is_written_as_before(make_plain: ToyMaker, tmp_path: Path) -> None:
    save_model(with_head(make_plain, STANDARD), tmp_path / "saved")
    content = json.loads((tmp_path / "saved" / "quiet_star.json").read_text(encoding="utf-8"))
    assert content["format_version"] == 1
    assert content["talk_head"] == {
        "hidden_size": 32,
        "layers": [[32, 64], [32, 32], [1, 32]],
    }


@pytest.mark.parametrize(
    ("version", "change", "message"),
    [
        (1, {"sigmoid": True}, "has format_version 1, which has only the talk head of the paper"),
        (1, {"layers": [[16, 64], [1, 16]]}, r"layers \[\[16, 64\], \[1, 16\]\] with biases"),
        (2, {"sigmoid": 1}, "sigmoid true or false, not"),
        (2, {"biases": [True, True]}, r"biases \[True, True\] are no talk head from 64 to 1"),
        (2, {"biases": [1, 1, 0]}, "biases a list of true and false"),
        (2, {"layers": []}, "are no talk head from 64 to 1"),
        (2, {"layers": [[1, "64"]]}, "layers must be a list of"),
        (2, {"layers": [[32, 64], [32, 31], [1, 32]]}, "are no talk head from 64 to 1"),
        (2, {"layers": [[2, 64]], "biases": [True]}, "are no talk head from 64 to 1"),
        (2, {"activation": "gelu"}, "talk_head has unknown fields: activation"),
        (2, {"biases": [True, True, True]}, "lacks the thought parts talk_head.4.bias"),
    ],
)
def test_wrong_talk_head(
    native: Path, edit_json: JsonEditor, version: int, change: dict[str, Any], message: str
) -> None:
    path = native / "quiet_star.json"
    head = json.loads(path.read_text(encoding="utf-8"))["talk_head"]
    edit_json(path, format_version=version, talk_head=head | change)
    with pytest.raises(CheckpointError, match=message):
        load_model(native)


@pytest.mark.parametrize("name", HEADS)
def test_the_inverted_head_gives_the_other_share(name: str) -> None:
    torch.manual_seed(2)
    head = TalkHead(HEADS[name])
    tensors = {f"talk_head.{key}": tensor for key, tensor in head.state_dict().items()}
    changed, config = inverted(tensors, HEADS[name])
    other = TalkHead(config)
    other.load_state_dict({key.removeprefix("talk_head."): t for key, t in changed.items()})
    states = torch.randn(2, 5, HIDDEN)
    # One more rounding of numbers near 1.
    torch.testing.assert_close(
        other.mixing_weight(*states), 1 - head.mixing_weight(*states), rtol=0, atol=1e-6
    )


def test_two_joined_layers_compute_the_same() -> None:
    torch.manual_seed(4)
    first, second = torch.nn.Linear(12, 7), torch.nn.Linear(7, 5)
    weight, bias = joined((first.weight, second.weight), (first.bias, second.bias))
    states = torch.randn(9, 12)
    # Sums of at most 12 products of numbers near 1, in float32.
    torch.testing.assert_close(
        torch.nn.functional.linear(states, weight, bias), second(first(states)), rtol=0, atol=1e-5
    )

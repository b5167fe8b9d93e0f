"""Rope types: each computes what transformers computes, or is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import CheckpointError

ToyMaker = Callable[..., Path]
JsonEditor = Callable[..., None]

_LENGTHS = (40, 200)
"""Below and above `original_max_position_embeddings`."""
_FACTORS = [1.0, 1.5, 4.0, 8.0]
_LONGROPE = {"rope_type": "longrope", "short_factor": _FACTORS, "long_factor": _FACTORS}


def _differences(directory: Path) -> list[float]:
    """The largest difference to transformers' own log-probabilities, for each length."""
    stock = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    model = load_model(directory, dtype="float32", device="cpu")
    differences = []
    for length in _LENGTHS:
        ids = torch.arange(length).mul(37).remainder(490).add(5).unsqueeze(0)
        with torch.no_grad():
            expected: Tensor = stock(ids).logits.log_softmax(-1)
        ours = model.think(ids, num_thought_tokens=0).base_logits.log_softmax(-1)
        differences.append(float((ours - expected).abs().max()))
    return differences


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.3, "beta_fast": 16.0},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
        _LONGROPE,
        {**_LONGROPE, "factor": 4.0},
        {**_LONGROPE, "factor": 4.0, "attention_factor": 1.0},
        {**_LONGROPE, "attention_factor": 1.25},
        {**_LONGROPE, "rope_type": None, "type": "longrope"},
    ],
    ids=lambda rope: "-".join(str(v) for v in rope.values() if not isinstance(v, list)),
)
@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_rope_computes_what_transformers_computes(
    make_plain: ToyMaker, edit_json: JsonEditor, rope: dict[str, Any], key: str
) -> None:
    directory = make_plain(initializer_range=0.2)
    rope = {name: value for name, value in rope.items() if value is not None}
    if rope.get("rope_type") != "linear":
        rope["original_max_position_embeddings"] = 64
    edit_json(directory / "config.json", rope_parameters=..., rope_theta=10000.0)
    edit_json(directory / "config.json", **{key: rope})
    # Both attend over at most 200 float32 terms in two layers; the order of sums differs.
    assert max(_differences(directory)) < 1e-4


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {**_LONGROPE, "long_factor": [2.0] * 4},
        {**_LONGROPE, "long_factor": [*_FACTORS[:3], 8.5]},
        {**_LONGROPE, "short_mscale": 1.0, "long_mscale": 1.2},
        {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
    ],
)
def test_rope_that_depends_on_the_length_is_refused(
    make_plain: ToyMaker, edit_json: JsonEditor, rope: dict[str, Any]
) -> None:
    directory = make_plain()
    scaled = {"rope_theta": 1e4, "original_max_position_embeddings": 128, **rope}
    edit_json(directory / "config.json", rope_parameters=scaled)
    with pytest.raises(CheckpointError, match=r"uses rope type .*current length"):
        load_model(directory)

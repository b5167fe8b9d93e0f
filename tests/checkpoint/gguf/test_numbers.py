"""GGUF files compute what llama.cpp computes: as recorded, and anew where it is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qstar_infer.checkpoint import load_model
from tests.checkpoint.gguf import golden, reference
from tests.checkpoint.gguf.cases import CASES, CHANGED, IDS, PLAIN, SAME, Case, architecture_of
from tests.checkpoint.gguf.quantised import TYPES, quantised_toy
from tests.checkpoint.gguf.toys import write_toy
from tests.tolerances import float32_tolerance

_NUMBERS = golden.read(golden.NUMBERS)
_TYPES = golden.read(golden.TYPES)

_EXACT = 2 * float32_tolerance(num_terms=8 * 8 * 48 + 32, size=4)
"""1.6e-4: two float32 computations of logits up to 4, through up to 8 layers of eight sums of at
most 48 terms. Measured: up to 7e-6."""
_BY_TABLE = 1e-2
"""llama.cpp looks GELU up in a table of float16, which is 2**-11 off, relatively, at each value.
Measured: up to 2.4e-3."""
_GELU = ("gemma", "gemma3", "starcoder2")


def _tolerance(case: Case) -> float:
    return _BY_TABLE if architecture_of(case) in _GELU else _EXACT


def _ours(path: Path) -> NDArray[np.float64]:
    model = load_model(path, dtype="float32", device="cpu")
    logits = model.think(torch.tensor([IDS]), num_thought_tokens=0).base_logits[0]
    log_probs: NDArray[np.float64] = logits.double().log_softmax(-1).numpy()
    return log_probs


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_llama_cpp(name: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", **CASES[name])
    got = golden.excerpt(_ours(path))
    np.testing.assert_allclose(got, _NUMBERS[name], rtol=0, atol=_tolerance(CASES[name]))


@pytest.mark.parametrize("name", CHANGED)
def test_recorded_numbers_show_the_feature(name: str) -> None:
    """Otherwise the test above could not fail."""
    plain = np.array(_NUMBERS[architecture_of(CHANGED[name])])
    least = 3 * _tolerance(CHANGED[name])
    assert np.abs(np.array(_NUMBERS[name]) - plain).max() > least


@pytest.mark.parametrize("name", SAME)
def test_recorded_numbers_of_harmless_keys(name: str) -> None:
    plain = np.array(_NUMBERS[architecture_of(SAME[name])])
    assert np.abs(np.array(_NUMBERS[name]) - plain).max() < 1e-6


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_quantised_values_are_those_of_llama_cpp(kind: object, tmp_path: Path) -> None:
    record = _TYPES[kind.name]  # type: ignore[attr-defined]  # an enum
    rows = np.frombuffer(bytes.fromhex(record["blocks"]), dtype=np.uint8).reshape(4, -1)
    path = quantised_toy(tmp_path / "toy.gguf", kind, rows)
    np.testing.assert_allclose(
        golden.excerpt(_ours(path)), record["log_probs"], rtol=0, atol=_EXACT
    )


@pytest.mark.skipif(not reference.IS_INSTALLED, reason=reference.WHY_NOT)
@pytest.mark.parametrize("name", [*PLAIN, "rope_freqs", "yarn", "8 layers, gemma3"])
def test_recorded_numbers_are_current(name: str, tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", **CASES[name])
    got = golden.excerpt(reference.log_probs(path, IDS))
    np.testing.assert_allclose(got, _NUMBERS[name], rtol=0, atol=_tolerance(CASES[name]))

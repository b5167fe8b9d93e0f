"""Files of measurements as a lab's stages write them, with numbers that follow from a formula."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_lab.figures import TaskFigures, read_task

CHANCE = 0.125
LENGTHS = (1, 2, 4, 8)
MAX_SIZE = 8
HALF = 0.01
"""Half the width of every interval."""


def accuracy_of(kind: str, length: int, seed: int) -> float:
    """Own thoughts help by their length, sampled ones less, and every seed adds a point."""
    helps = {"greedy": 0.1, "sampled": 0.09}.get(kind, 0.0) * length
    return CHANCE + helps + 0.01 * seed


def write_measures(directory: Path, *, seed: int, **changes: Any) -> Path:
    """Write the measurements of one seed; `changes` replace keys of a file's JSON.

    Returns:
        The directory of the seed.
    """
    measures = directory / f"seed-{seed}" / "measures"
    measures.mkdir(parents=True)
    modes = {
        "base": [("none", 0)],
        "thinking": [("none", 0), *_modes("sampled", "greedy", "random", "shuffled")],
        "silent": [("none", 0)],
        "random": [("none", 0), *_modes("random")],
        "no-policy": [("none", 0)],
    }
    files: dict[str, dict[str, Any]] = {
        model: {"scores": [_score(kind, length, seed) for kind, length in each]}
        for model, each in modes.items()
    }
    files["working"] = {"share": _interval(0.99)}
    files["over-training"] = {
        "points": [
            {"step": step, "exact": _interval(step / 500), "accuracy": _interval(step / 450)}
            for step in (0, 100, 200, 300, 400)
        ]
    }
    files["engine"] = {
        "accuracy": _interval(0.9),
        "exact": _interval(0.8),
        "machine": {"cpu": "a machine", "torch": "9.9"},
        "num_tokens": 100,
        "num_same_tokens": 100,
        "agreement": 0.9,
        "passes_per_token": 1.5,
    }
    if seed == 0:
        example = {
            "question": "ab,<&>?",
            "thought": [["b", True], ["<", False]],
            "answer": "c",
            "expected": "d",
        }
        files["examples"] = {"examples": [example]}
        speed = {
            "num_sequences": 1,
            "plain": 200.0,
            "thinking": 170.0,
            "agreement": 0.95,
            "passes_per_token": 1.2,
            "share_with_thought": 0.05,
        }
        files["speed"] = {"speeds": [speed]}
    for name, values in changes.items():
        files[name.replace("_", "-")].update(values)
    for name, values in files.items():
        (measures / f"{name}.json").write_text(json.dumps(values))
    return measures.parent


def figures(directories: Sequence[Path]) -> TaskFigures:
    return read_task(
        directories,
        name="toy",
        title="Toy <task>",
        about="Do it.",
        chance=CHANCE,
        models=("base", "thinking", "silent", "random", "no-policy"),
    )


def _modes(*kinds: str) -> list[tuple[str, int]]:
    return [(kind, length) for kind in kinds for length in LENGTHS]


def _score(kind: str, length: int, seed: int) -> dict[str, Any]:
    accuracy = accuracy_of(kind, length, seed)
    return {
        "kind": kind,
        "length": length,
        "accuracy": _interval(accuracy),
        "nats": _interval(2 - accuracy),
        "by_size": {
            str(size): _interval(1.0 if size <= length else CHANCE)
            for size in range(1, MAX_SIZE + 1)
        },
    }


def _interval(value: float) -> list[float]:
    return [value, value - HALF, value + HALF]

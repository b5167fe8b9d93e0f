"""The configs of the lab's training runs: ordinary ones of `qstar train`, as plain values."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from qstar_lab.recipe import ControlName, TaskRecipe
from qstar_lab.tasks.registry import find_task
from qstar_lab.tasks.task import Task

WARM_UP_SHARE = 0.05
LOGGED_STEPS = 50
"""A run logs about so many of its steps."""


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """The files of one task and seed."""

    directory: Path

    @property
    def text(self) -> Path:
        return self.directory / "text"

    @property
    def questions(self) -> str:
        """Held-out questions with working and answer."""
        return str(self.text / "test.jsonl")

    @property
    def untrained(self) -> Path:
        return self.directory / "untrained"

    def run(self, name: str) -> Path:
        """Directory of a training run."""
        return self.directory / name

    def model(self, name: str) -> str:
        """The checkpoint of a training run."""
        return str(self.run(name) / "model")

    def measure(self, name: str) -> str:
        """A file of measurements."""
        return str(self.directory / "measures" / f"{name}.json")


def base_config(recipe: TaskRecipe, files: SeedFiles, *, seed: int) -> dict[str, Any]:
    """The base: a language model without thoughts, on visible and direct text."""
    base = recipe.base
    sources = [
        {"path": str(files.text / f"{name}.jsonl"), "weight": 0.5} for name in ("visible", "direct")
    ]
    return {
        "output": str(files.run("base")),
        "model": str(files.untrained),
        "num_thought_tokens": 0,
        "dtype": "float32",
        "data": {
            "sources": sources,
            "window": window_length(recipe, is_visible=True),
            "packing": "documents",
        },
        "optimizer": {
            "learning_rate": base.learning_rate,
            "weight_decay": 0.01,
            "beta2": 0.98,
            "warmup_steps": max(1, round(WARM_UP_SHARE * base.steps)),
            "schedule": "cosine",
        },
        "steps": base.steps,
        "batch_size": base.batch_size,
        **_habits(base.steps, num_saved=4),
        "seed": seed,
    }


def thinking_config(recipe: TaskRecipe, files: SeedFiles, *, seed: int) -> dict[str, Any]:
    """Quiet-STaR on direct text: behind the marker, and at random other places."""
    task, thoughts = find_task(recipe.task), recipe.thoughts
    habits = _habits(thoughts.steps, num_saved=thoughts.num_follow)
    return {
        "output": str(files.run("thinking")),
        "model": files.model("base"),
        "num_thought_tokens": max(task.thought_lengths),
        "thought_lengths": list(task.thought_lengths),
        "vectors": {"start": task.start, "end": task.end},
        "thinking": _rule(recipe, task),
        "dtype": "float32",
        "data": {
            "sources": [{"path": str(files.text / "direct.jsonl")}],
            "window": window_length(recipe, is_visible=False),
            "packing": "documents",
        },
        "objective": {
            "places": {"behind": [task.marker], "elsewhere": thoughts.elsewhere},
            "gate": {
                "cost": thoughts.gate_cost,
                "learning_rate": thoughts.gate_learning_rate,
            },
            "num_talk_tokens": 1,
            "num_passes": thoughts.num_passes,
            "policy_weight": thoughts.policy_weight,
            "reinforce_temperature": 1.0,
            "base_loss_weight": 0.5,
            "talk_loss_weight": 0.5,
            "thought_loss_weight": 0.5,
            "embedding_scale": 1.0,
        },
        "optimizer": {
            "learning_rate": thoughts.learning_rate,
            "talk_head_learning_rate": thoughts.talk_head_learning_rate,
            "vector_learning_rate": thoughts.learning_rate,
            "weight_decay": 0.01,
            "beta2": 0.98,
            "warmup_steps": max(1, round(WARM_UP_SHARE / 2 * thoughts.steps)),
            "schedule": "linear",
        },
        "steps": thoughts.steps,
        "batch_size": thoughts.batch_size,
        **habits,
        "keep_every": habits["save_every"],
        "seed": seed,
    }


def control_config(
    recipe: TaskRecipe, files: SeedFiles, control: ControlName, *, seed: int
) -> dict[str, Any]:
    """The thinking run with one thing changed."""
    config = thinking_config(recipe, files, seed=seed)
    config["output"] = str(files.run(control))
    config["keep_every"] = None
    if control == "silent":
        # A plain model has no thought parts, so none of their settings.
        config["num_thought_tokens"] = 0
        for name in ("thought_lengths", "vectors", "thinking", "objective"):
            del config[name]
    elif control == "random":
        config["objective"]["thoughts"] = "random"
    else:
        config["objective"]["policy_weight"] = 0.0
    return config


def _rule(recipe: TaskRecipe, task: Task) -> dict[str, Any]:
    """Where the checkpoint thinks when it is served."""
    if recipe.thoughts.serves == "gate":
        return {"where": "gate"}
    return {"where": "behind", "tokens": [task.marker]}


def _habits(steps: int, *, num_saved: int) -> dict[str, int]:
    """When a run logs, saves and samples."""
    return {
        "log_every": max(1, steps // LOGGED_STEPS),
        "save_every": max(1, steps // num_saved),
        "sample_every": max(1, steps // num_saved),
    }


def window_length(recipe: TaskRecipe, *, is_visible: bool) -> int:
    """Tokens of a training window, ends of documents included.

    All questions are equally long, so documents without working fill the window.

    Args:
        is_visible: whether the longest document with working must fit too.
    """
    task = find_task(recipe.task)
    problem = task.draw(Random(0), held_out=False)
    direct = len(problem.question) + 2
    visible = direct + len(problem.working) + 2 if is_visible else 0
    return max(recipe.documents_per_window * direct, visible)

"""The stages of the lab: what is made, trained and measured, and what needs what."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from qstar_lab.configs import (
    SeedFiles,
    base_config,
    control_config,
    thinking_config,
)
from qstar_lab.figures import THINKING
from qstar_lab.recipe import ControlName, TaskRecipe
from qstar_lab.stage import Stage
from qstar_lab.tasks.registry import find_task
from qstar_lab.tasks.task import visible_text

CONTROL_TITLES: dict[ControlName, str] = {
    "silent": "control: train without thoughts",
    "random": "control: train with random thoughts",
    "no-policy": "control: train without REINFORCE",
}
CONTROL_COSTS: dict[ControlName, float] = {"silent": 0.3, "random": 0.9, "no-policy": 0.9}
"""Time of a control's step, relative to one with thoughts and REINFORCE. Rough."""
OVERHEAD_S = 5.0
"""Of each process: imports and loading."""
MEASURE_S = 20.0
THOROUGH_S = 60.0
"""Of the model that thinks, which is measured in all modes."""
NUM_FOLLOWED = 400
"""Questions that are asked of each saved state."""
NUM_EXAMPLES = 6


def lab_stages(recipes: Sequence[TaskRecipe], directory: Path, *, num_seeds: int) -> list[Stage]:
    """All stages, in an order in which the first seeds of all tasks end first."""
    return [
        stage
        for seed in range(num_seeds)
        for recipe in recipes
        for stage in SeedPlan(recipe, directory, seed=seed).stages()
    ]


def seed_directories(directory: Path, task: str, num_seeds: int) -> list[Path]:
    """Where the files of a task's seeds are."""
    return [directory / task / f"seed-{seed}" for seed in range(num_seeds)]


class SeedPlan:
    """The stages of one task and seed."""

    def __init__(self, recipe: TaskRecipe, directory: Path, *, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        self._name = f"{recipe.task}/seed-{seed}"
        self._files = SeedFiles(directory / recipe.task / f"seed-{seed}")
        self._lengths = find_task(recipe.task).thought_lengths

    def stages(self) -> list[Stage]:
        """What is made, trained and measured."""
        return [
            self._materials(),
            self._base(),
            self._check_base(),
            *self._trainings(),
            *self._scores(),
            *self._studies(),
        ]

    def _stage(self, name: str, title: str, **values: Any) -> Stage:
        needs = tuple(f"{self._name}/{need}" for need in values.pop("needs", ()))
        return Stage(name=f"{self._name}/{name}", title=title, needs=needs, **values)

    def _materials(self) -> Stage:
        corpus = self._recipe.corpus
        settings = {
            "result": str(self._files.untrained),
            "text": str(self._files.text),
            "task": self._recipe.task,
            "shape": asdict(self._recipe.shape),
            **asdict(corpus),
            "seed": self._seed,
        }
        expected = OVERHEAD_S + 5e-5 * (corpus.num_visible + corpus.num_direct)
        title = "make text, tokenizer and untrained model"
        return self._stage(
            "materials",
            title,
            work="materials",
            settings=settings,
            expected_s=expected,
            depends_on=_some_text(self._recipe.task),
        )

    def _base(self) -> Stage:
        base = self._recipe.base
        return self._stage(
            "base",
            "train the base",
            work="train",
            settings=base_config(self._recipe, self._files, seed=self._seed),
            needs=("materials",),
            expected_s=OVERHEAD_S + base.steps * base.seconds_per_step,
        )

    def _check_base(self) -> Stage:
        settings = {
            "result": self._files.measure("working"),
            "checkpoint": self._files.model("base"),
            "task": self._recipe.task,
            "questions": self._files.questions,
            "least": self._recipe.least_working,
            "steps": self._recipe.base.steps,
        }
        return self._measure(
            "check-base", "check that the base can write the working", settings, need="base"
        )

    def _trainings(self) -> list[Stage]:
        """Quiet-STaR and its controls."""
        recipe, files, seed = self._recipe, self._files, self._seed
        cost = recipe.thoughts.steps * recipe.thoughts.seconds_per_step
        configs = {
            THINKING: ("train thoughts", thinking_config(recipe, files, seed=seed), cost),
        }
        for control in recipe.controls:
            config = control_config(recipe, files, control, seed=seed)
            configs[control] = (CONTROL_TITLES[control], config, cost * CONTROL_COSTS[control])
        return [
            self._stage(
                name,
                title,
                work="train",
                settings=config,
                needs=("check-base",),
                expected_s=OVERHEAD_S + expected,
            )
            for name, (title, config, expected) in configs.items()
        ]

    def _scores(self) -> list[Stage]:
        """Accuracy and nats of every model."""
        own = [(kind, length) for kind in ("sampled", "greedy") for length in self._lengths]
        others = [(kind, length) for kind in ("random", "shuffled") for length in self._lengths]
        modes: dict[str, list[tuple[str, int]]] = {
            "base": [],
            THINKING: [*own, *others],
            "silent": [],
            "random": [("random", length) for length in self._lengths],
            "no-policy": [("greedy", length) for length in self._lengths],
        }
        stages = []
        for model in ("base", THINKING, *self._recipe.controls):
            settings = {
                "result": self._files.measure(model),
                "checkpoint": self._files.model(model),
                "questions": self._files.questions,
                "modes": [["none", 0], *map(list, modes[model])],
                "seed": self._seed,
            }
            need = "check-base" if model == "base" else model
            title = f"measure {model}"
            expected = THOROUGH_S if model == THINKING else MEASURE_S
            stages.append(
                self._measure(
                    f"scores-{model}", title, settings, need, work="scores", expected_s=expected
                )
            )
        return stages

    def _studies(self) -> list[Stage]:
        """What else is measured of the model that thinks."""
        files, recipe = self._files, self._recipe
        common = {"checkpoint": files.model(THINKING), "questions": files.questions}
        longest = {"length": max(self._lengths), "seed": self._seed}
        own_text = {"num_texts": recipe.num_texts, "num_tokens": recipe.num_text_tokens}
        over_training = {
            "result": files.measure("over-training"),
            "config": f"{files.run(THINKING)}.yaml",
            "questions": files.questions,
            "count": NUM_FOLLOWED,
            **longest,
        }
        served = {
            "result": files.measure("engine"),
            **common,
            "count": recipe.num_questions,
            **own_text,
        }
        stages = [
            self._measure("over-training", "measure thoughts over training", over_training),
            self._measure("served", "ask through the engine", served),
        ]
        if self._seed == 0:
            examples = {
                "result": files.measure("examples"),
                **common,
                "task": recipe.task,
                **longest,
                "count": NUM_EXAMPLES,
            }
            stages.append(self._measure("examples", "collect examples", examples))
            if recipe.documents_per_window > 1:
                speed = {"result": files.measure("speed"), **common, **own_text}
                stages.append(self._measure("speed", "time its own text", speed, runs_alone=True))
        return stages

    def _measure(
        self,
        name: str,
        title: str,
        settings: dict[str, Any],
        need: str = THINKING,
        *,
        work: str | None = None,
        expected_s: float = MEASURE_S,
        runs_alone: bool = False,
    ) -> Stage:
        return self._stage(
            name,
            title,
            work=work or name,
            settings=settings,
            needs=(need,),
            expected_s=expected_s,
            runs_alone=runs_alone,
        )


def _some_text(task: str) -> str:
    """The vocabulary and some documents of a task: they change if its code does."""
    kind, random = find_task(task), Random(0)
    problems = [kind.draw(random, held_out=held_out) for held_out in (False, True) * 10]
    texts = [visible_text(kind, problem, kind.max_size) for problem in problems]
    return "\n".join([*kind.tokens, *texts])

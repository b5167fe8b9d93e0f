"""The plan of the lab: every stage reads only what stages before it have written."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from qstar_lab.configs import SeedFiles, base_config, control_config, thinking_config
from qstar_lab.plan import lab_stages
from qstar_lab.recipe import CONTROLS, RECIPES, TaskRecipe, recipes_of
from qstar_lab.stage import Stage, check_order, digests_of
from qstar_lab.tasks.digit_chains import DigitChains
from qstar_lab.tasks.registry import TASKS, find_task
from qstar_lab.tasks.task import Problem, direct_text, split, visible_text
from qstar_train.config import TrainConfig

EACH = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.task)


def paths_in(value: Any, directory: Path) -> Iterator[Path]:
    """All paths below the lab's directory in the settings of a stage."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from paths_in(inner, directory)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from paths_in(inner, directory)
    elif isinstance(value, str) and value.startswith(f"{directory}/"):
        yield Path(value)


def written_by(stage: Stage) -> list[Path]:
    paths = [stage.result]
    if stage.output is not None and stage.config is not None:
        paths += [stage.output, stage.config]
    if "text" in stage.settings:
        paths.append(Path(stage.settings["text"]))
    return paths


def test_there_is_a_recipe_for_every_task() -> None:
    assert [recipe.task for recipe in RECIPES] == list(TASKS)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_stages_read_only_what_they_wait_for(tmp_path: Path, num_seeds: int) -> None:
    stages = lab_stages(RECIPES, tmp_path, num_seeds=num_seeds)
    check_order(stages)
    by_name = {stage.name: stage for stage in stages}

    def waits_for(stage: Stage) -> Iterator[Stage]:
        for name in stage.needs:
            yield by_name[name]
            yield from waits_for(by_name[name])

    for stage in stages:
        there = [path for before in waits_for(stage) for path in written_by(before)]
        for path in paths_in(dict(stage.settings), tmp_path):
            is_own = any(path.is_relative_to(own) for own in written_by(stage))
            assert is_own or any(path.is_relative_to(made) for made in there), (stage.name, path)


def test_no_two_stages_write_the_same(tmp_path: Path) -> None:
    stages = lab_stages(RECIPES, tmp_path, num_seeds=2)
    results = [stage.result for stage in stages]
    assert len(set(results)) == len(results)


def test_everything_is_trained_on_a_checked_base(tmp_path: Path) -> None:
    stages = lab_stages(RECIPES, tmp_path, num_seeds=1)
    trained = [s for s in stages if s.work == "train" and not s.name.endswith("/base")]
    assert {stage.name.split("/")[-1] for stage in trained} == {"thinking", *CONTROLS}
    for stage in trained:
        assert [need.split("/")[-1] for need in stage.needs] == ["check-base"]


def test_speed_is_measured_with_nothing_beside_it(tmp_path: Path) -> None:
    stages = lab_stages(RECIPES, tmp_path, num_seeds=3)
    alone = [stage.name for stage in stages if stage.runs_alone]
    several = [recipe.task for recipe in RECIPES if recipe.documents_per_window > 1]
    assert alone == [f"{task}/seed-0/speed" for task in several]


@EACH
def test_configs_are_those_of_the_trainer(recipe: TaskRecipe, tmp_path: Path) -> None:
    files = SeedFiles(tmp_path)
    thinking = TrainConfig.model_validate(thinking_config(recipe, files, seed=3))
    task = find_task(recipe.task)
    assert thinking.thought_lengths == list(task.thought_lengths)
    assert thinking.num_thought_tokens == max(task.thought_lengths)
    assert thinking.objective.places is not None
    assert thinking.objective.places.behind == [task.marker]
    assert thinking.seed == 3
    assert TrainConfig.model_validate(base_config(recipe, files, seed=3)).trains_without_thoughts


@EACH
def test_controls_differ_in_one_thing(recipe: TaskRecipe, tmp_path: Path) -> None:
    files = SeedFiles(tmp_path)
    thinking = thinking_config(recipe, files, seed=0)
    kept = {"output", "keep_every"}
    for control in CONTROLS:
        config = control_config(recipe, files, control, seed=0)
        TrainConfig.model_validate(config)
        for name in ("steps", "batch_size", "optimizer", "data", "seed", "model"):
            assert config[name] == thinking[name]
        changed = {name for name in config if config[name] != thinking.get(name)} - kept
        expected = {"silent": {"num_thought_tokens"}, "random": {"objective"}}
        assert changed == expected.get(control, {"objective"})
        if control != "silent":
            ours, theirs = config["objective"], thinking["objective"]
            differs = {key for key in ours if ours[key] != theirs.get(key)}
            assert differs == {{"random": "thoughts", "no-policy": "policy_weight"}[control]}


@EACH
def test_a_window_holds_whole_documents(recipe: TaskRecipe, tmp_path: Path) -> None:
    """With the end of sequence, which is not part of a text."""
    task, random = find_task(recipe.task), Random(1)
    problems = [task.draw(random, held_out=False) for _ in range(200)]
    lengths = {len(split(task, direct_text(problem))) + 1 for problem in problems}
    longest = max(
        len(split(task, visible_text(task, problem, task.max_size))) + 1 for problem in problems
    )
    files = SeedFiles(tmp_path)
    base, thinking = (make(recipe, files, seed=0) for make in (base_config, thinking_config))
    assert base["data"]["packing"] == thinking["data"]["packing"] == "documents"
    filled = {recipe.documents_per_window * length for length in lengths}
    assert filled == {thinking["data"]["window"]}
    assert filled | {longest} >= {base["data"]["window"]}
    assert base["data"]["window"] >= longest


def test_tasks_are_chosen_in_the_order_of_the_lab() -> None:
    names = [recipe.task for recipe in RECIPES]
    assert [recipe.task for recipe in recipes_of(names[::-1], is_quick=False)] == names
    (one,) = recipes_of(names[1:], is_quick=True)
    assert one.task == names[1]
    assert one.base.steps < 10


def test_another_task_under_the_same_name_is_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipes name a task, and its code may change: then everything must be done again."""
    before = digests_of(lab_stages(RECIPES, tmp_path, num_seeds=1), tmp_path)
    assert digests_of(lab_stages(RECIPES, tmp_path, num_seeds=1), tmp_path) == before
    changed = type("Changed", (DigitChains,), {"draw": _draw_short})()
    monkeypatch.setitem(TASKS, changed.name, changed)
    after = digests_of(lab_stages(RECIPES, tmp_path, num_seeds=1), tmp_path)
    differs = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert differs == {"digit_chains"}
    assert not [name for name in before if "digit" in name and before[name] == after[name]]


def _draw_short(self: DigitChains, random: Random, *, held_out: bool) -> Problem:
    """Only questions of one operation."""
    while True:
        problem = DigitChains.draw(self, random, held_out=held_out)
        if problem.size == 1:
            return problem

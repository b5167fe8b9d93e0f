"""Runs a lab from the first stage to its page."""

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from qstar_infer.errors import ConfigError
from qstar_lab.claims import claims, headlines
from qstar_lab.errors import LabError
from qstar_lab.figures import THINKING, TaskFigures, read_task
from qstar_lab.page import LabRun, chart_style, page_of
from qstar_lab.plan import lab_stages, seed_directories
from qstar_lab.plots import picture
from qstar_lab.recipe import TaskRecipe
from qstar_lab.run_stages import Observer, StageRunner
from qstar_lab.tasks.registry import find_task
from qstar_train.atomic_write import replace_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def run_lab(
    recipes: Sequence[TaskRecipe],
    directory: Path,
    *,
    num_seeds: int,
    num_jobs: int,
    observer: Observer,
) -> LabRun:
    """Run what has not finished yet, and write page, picture and summary.

    Raises:
        ConfigError: another lab runs in the directory, it cannot be written, or a package that
            training needs is not installed.
        LabError: a stage failed, or a file could not be written.
    """
    # Absolute, so that the same lab goes on whatever directory it is started from.
    directory = Path(os.path.abspath(directory))
    if find_spec("datasets") is None:
        raise ConfigError(
            "the lab trains models, which needs the package datasets: pip install 'qstar[train]'"
        )
    with _locked(directory), _explained():
        stages = lab_stages(recipes, directory, num_seeds=num_seeds)
        seconds = StageRunner(stages, directory, num_jobs, observer).run()
        run = LabRun(
            tasks=[_figures(recipe, directory, num_seeds) for recipe in recipes],
            recipes=recipes,
            num_seeds=num_seeds,
            num_jobs=num_jobs,
            stages={stage.name: (stage.title, seconds[stage.name]) for stage in stages},
            command=command_text(),
        )
        write_results(run, directory)
    return run


def write_results(run: LabRun, directory: Path) -> None:
    """Write `index.html`, `lab.svg`, `summary.md` and `results.json`."""
    replace_text(directory / "index.html", page_of(run))
    replace_text(directory / "lab.svg", picture(run.tasks, chart_style()))
    replace_text(directory / "summary.md", summary_of(run))
    results = {task.name: _results(task) for task in run.tasks}
    replace_text(directory / "results.json", json.dumps(results, indent=1) + "\n")


def summary_of(run: LabRun) -> str:
    """The headline numbers of each task, as Markdown."""
    lines = []
    for task in run.tasks:
        lines += [f"## {task.title}", "", "| | | |", "|---|---|---|"]
        for number in headlines(task):
            lines.append(f"| {number.value} | {number.text} | {number.note} |")
        lines += ["", *_verdict(task), ""]
    return "\n".join(lines)


def summary_text(run: LabRun) -> str:
    """The same for a terminal."""
    lines = []
    for task in run.tasks:
        lines.append(task.title)
        for number in headlines(task):
            lines.append(f"{number.value:>10}  {number.text} ({number.note})")
        lines += [*_verdict(task), ""]
    return "\n".join(lines)


def _verdict(task: TaskFigures) -> list[str]:
    failed = [claim for claim in claims(task) if not claim.holds]
    if not failed:
        return ["Everything that should hold does."]
    return ["Does not hold:", "", *(f"- {claim.text}: {claim.measured}" for claim in failed)]


def command_text() -> str:
    """What a person types to run this process again."""
    return shlex.join(["qstar", *sys.argv[1:]])


def _figures(recipe: TaskRecipe, directory: Path, num_seeds: int) -> TaskFigures:
    return read_task(
        seed_directories(directory, recipe.task, num_seeds),
        name=recipe.task,
        title=recipe.title,
        about=recipe.about,
        chance=find_task(recipe.task).chance,
        models=("base", THINKING, *recipe.controls),
    )


def _results(task: TaskFigures) -> dict[str, object]:
    """All figures of a task as JSON values."""
    values = dataclasses.asdict(dataclasses.replace(task, scores={}))
    values["scores"] = [
        {"model": model, "kind": mode.kind, "length": mode.length, **dataclasses.asdict(score)}
        for model, scores in task.scores.items()
        for mode, score in scores.items()
    ]
    values["claims"] = [dataclasses.asdict(claim) for claim in claims(task)]
    return values


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of the file system into errors that say what to do."""
    try:
        yield
    except OSError as error:
        raise LabError(
            f"a file of the lab cannot be read or written: {error}. Correct that and run the same "
            "command again: finished stages are kept."
        ) from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep a second lab out of the directory; the system releases the lock of a dead process.

    Raises:
        ConfigError: a lab runs there, or the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"--out {directory} cannot be written: {error}. Give another directory."
        ) from error
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"another lab runs in {directory} ({error.strerror}). Wait for it, or give "
                    "another directory with --out."
                ) from error
        yield

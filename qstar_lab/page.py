"""The lab's page: one file that loads nothing, so it opens from a disk or a mail."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Any

import yaml

from qstar_lab.charts import svg_of
from qstar_lab.claims import Headline, claims, headlines, percent
from qstar_lab.figures import TaskFigures
from qstar_lab.forecast import duration_text
from qstar_lab.page_parts import examples_html, scores_html, served_html, table_html
from qstar_lab.plots import accuracy_by_length, accuracy_by_size, nats_by_length, over_training
from qstar_lab.recipe import TaskRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRun:
    """A finished lab."""

    tasks: Sequence[TaskFigures]
    recipes: Sequence[TaskRecipe]
    num_seeds: int
    num_jobs: int
    stages: Mapping[str, tuple[str, float]]
    """Title and seconds of each stage, in order."""
    command: str
    """What a person types to run it again."""

    @property
    def seconds(self) -> float:
        """Of all stages, one after the other."""
        return sum(seconds for _, seconds in self.stages.values())


def chart_style() -> str:
    """The style sheet of charts."""
    return resources.files(__package__).joinpath("chart.css").read_text(encoding="utf-8")


def page_of(run: LabRun) -> str:
    """The page as HTML."""
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        chart_style=chart_style(),
        intro=_intro(run),
        headlines=_tiles(headlines(run.tasks[0])),
        tasks="\n".join(_task(task, is_first=index == 0) for index, task in enumerate(run.tasks)),
        claims="\n".join(_claims(task) for task in run.tasks),
        making=_making(run),
        stages=_stages(run.stages),
        settings="".join(
            f"<pre>{escape(yaml.safe_dump(_plain(recipe), sort_keys=False))}</pre>"
            for recipe in run.recipes
        ),
        machine=escape("; ".join(f"{name} {value}" for name, value in _machine(run).items())),
    )


def _intro(run: LabRun) -> str:
    seeds = "one seed" if run.num_seeds == 1 else f"{run.num_seeds} seeds"
    intervals = (
        "intervals are 95 % bootstrap intervals over questions"
        if run.num_seeds == 1
        else "numbers are means over seeds, intervals Student's 95 % intervals over seeds"
    )
    return escape(
        "Trained from nothing on this machine: first a language model that can write down its "
        "working, then Quiet-STaR on text that shows none. All numbers are of questions that no "
        f"training text contains; {seeds}, {intervals}."
    )


def _tiles(numbers: Sequence[Headline]) -> str:
    tiles = [
        f'<div class="tile{" main" if index == 1 else ""}"><b>{escape(number.value)}</b>'
        f'<span>{escape(number.text)}</span><div class="note">{escape(number.note)}</div></div>'
        for index, number in enumerate(numbers)
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _task(task: TaskFigures, *, is_first: bool) -> str:
    charts = [accuracy_by_length(task), accuracy_by_size(task)]
    charts += [over_training(task), nats_by_length(task)]
    cards = "".join(f'<div class="card">{svg_of(chart)}</div>' for chart in charts)
    seeds = ", ".join(f"{100 * value:.1f} %" for value in task.seed_accuracies)
    each_seed = (
        f'<p class="note">With {task.longest} tokens, seed by seed: {escape(seeds)}.</p>'
        if len(task.seed_accuracies) > 1
        else ""
    )
    return "\n".join(
        [
            f"<section><h2>{escape(task.title)}</h2>",
            f"<p>{escape(_about(task))}</p>",
            "" if is_first else _tiles(headlines(task)),
            f'<div class="charts">{cards}</div>{each_seed}',
            "<h3>Thoughts</h3>",
            examples_html(task),
            "<h3>Through the engine</h3>",
            served_html(task),
            "<details><summary>All scores</summary>",
            f'<div class="scroll">{scores_html(task)}</div></details></section>',
        ]
    )


def _about(task: TaskFigures) -> str:
    return (
        f"{task.about} Chance is {percent(task.chance)}. When it could write its working down, "
        f"the base wrote it without a mistake for {percent(task.working.value)} of the questions."
    )


def _claims(task: TaskFigures) -> str:
    rows = [
        [
            escape(claim.text),
            escape(claim.measured),
            '<span class="holds">yes</span>' if claim.holds else '<span class="fails">no</span>',
        ]
        for claim in claims(task)
    ]
    table = table_html(["claim", "measured", "holds"], rows)
    return f'<h3>{escape(task.title)}</h3><div class="scroll">{table}</div>'


def _making(run: LabRun) -> str:
    return (
        f"Run it again: <code>{escape(run.command)}</code>. All stages together took "
        f"{escape(duration_text(run.seconds))} of one thread each, {run.num_jobs} at once. The "
        "configs of the training stages are beside this page, for <code>qstar train</code>."
    )


def _stages(stages: Mapping[str, tuple[str, float]]) -> str:
    longest = max(seconds for _, seconds in stages.values())
    rows = [
        [
            f"{escape(title)}<small>{escape(name)}</small>",
            f'<div style="width: 140px"><div class="bar" style="width: '
            f'{100 * seconds / max(longest, 1e-9):.0f}%"></div></div>',
            escape(duration_text(seconds)),
        ]
        for name, (title, seconds) in stages.items()
    ]
    table = table_html(["stage", "", "time"], rows, numbers={2})
    return f'<div class="scroll">{table}</div>'


def _machine(run: LabRun) -> Mapping[str, str]:
    return run.tasks[0].machine


def _plain(recipe: TaskRecipe) -> dict[str, Any]:
    values = dataclasses.asdict(recipe)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }

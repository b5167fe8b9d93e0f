"""The charts of a task, from its figures."""

import math
from collections.abc import Callable, Sequence

from qstar_eval.bootstrap import Estimate
from qstar_lab.charts import WIDTH, Chart, Line, svg_of
from qstar_lab.claims import percent
from qstar_lab.figures import AS_SERVED, NO_THOUGHTS, THINKING, Score, TaskFigures

PERCENT_TICKS = [(share / 100, f"{share} %") for share in (0, 20, 40, 60, 80, 100)]
NUM_SHADES = 6
"""Colours `c0` to `c5`, from pale to strong."""
GAP = 24.0
"""Between the charts of a picture."""
Number = Callable[[Score], Estimate]


def accuracy_by_length(task: TaskFigures) -> Chart:
    """Accuracy against thought length, with the controls."""
    return Chart(
        title=f"{task.title}: right answers by length of thought",
        x_title="tokens of thought",
        y_title="right answers",
        x_ticks=_length_ticks(task),
        y_ticks=PERCENT_TICKS,
        lines=_lines_by_length(
            task, lambda score: score.accuracy, value_text=lambda share: f"{100 * share:.0f}"
        ),
        level=(task.chance, f"chance {percent(task.chance)}"),
    )


def nats_by_length(task: TaskFigures) -> Chart:
    """Nats of the right answer against thought length, with the controls."""
    lines = _lines_by_length(task, lambda score: score.nats)
    top = max(estimate.high for line in lines for _, estimate in line.points)
    chance = -math.log(task.chance)
    return Chart(
        title="Surprise at the right answer",
        x_title="tokens of thought",
        y_title="nats",
        x_ticks=_length_ticks(task),
        y_ticks=_ticks_to(max(top, 1.05 * chance)),
        lines=lines,
        level=(chance, f"chance {chance:.2f} nats"),
    )


def accuracy_by_size(task: TaskFigures) -> Chart:
    """Accuracy against the size of the problem, one line for each thought length."""
    lengths = [0, *task.lengths]
    lines: list[Line] = []
    for index, length in enumerate(lengths):
        score = _score(task, length)
        if score is None:
            continue
        shade = NUM_SHADES - len(lengths) + index if len(lengths) <= NUM_SHADES else index
        label = "no thought" if length == 0 else f"{length} token{'s' * (length > 1)}"
        points = [(float(size), estimate) for size, estimate in score.by_size.items()]
        style = f"c{min(NUM_SHADES - 1, max(0, shade))}"
        lines.append(Line(label=label, points=points, style=style, has_intervals=False))
    sizes = sorted({size for line in lines for size, _ in line.points})
    return Chart(
        title="By number of steps in the question",
        x_title="steps in the question",
        y_title="right answers",
        x_ticks=[(size, f"{size:g}") for size in _thinned(sizes)],
        y_ticks=PERCENT_TICKS,
        lines=lines,
        level=(task.chance, "chance"),
    )


def over_training(task: TaskFigures) -> Chart:
    """Share of thoughts that are the exact working, and accuracy, by training step."""
    points = task.over_training
    exact = [(float(point.step), point.exact) for point in points]
    accuracy = [(float(point.step), point.accuracy) for point in points]
    return Chart(
        title=f"While it learns, {task.longest} tokens of thought",
        x_title="steps of Quiet-STaR",
        y_title="share",
        x_ticks=[(step, f"{step:g}") for step in _thinned([step for step, _ in exact])],
        y_ticks=PERCENT_TICKS,
        lines=[
            Line(label="thoughts that are the exact working", points=exact, style="k3"),
            Line(label="right answers", points=accuracy, style=""),
        ],
    )


def picture(tasks: Sequence[TaskFigures], style: str) -> str:
    """The one picture of the lab, a file of its own: accuracy by thought length of each task."""
    charts = [accuracy_by_length(task) for task in tasks]
    width = len(charts) * (WIDTH + GAP) + GAP
    height = max(chart.height for chart in charts) + 2 * GAP
    inner = [
        svg_of(chart, place=(GAP + index * (WIDTH + GAP), GAP))
        for index, chart in enumerate(charts)
    ]
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return "\n".join(
        [
            f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" rx="10" style="fill: var(--paper)"/>',
            *inner,
            "</svg>\n",
        ]
    )


def _lines_by_length(
    task: TaskFigures, number: Number, *, value_text: Callable[[float], str] | None = None
) -> list[Line]:
    """Thoughts and controls, at the places of their lengths; `value_text` is for the first."""
    own = (THINKING, AS_SERVED, "its own thoughts", "")
    others = [
        ("no-policy", AS_SERVED, "trained without REINFORCE", "k3 dashed"),
        (THINKING, "random", "random tokens as thoughts", "k1 dashed"),
        (THINKING, "shuffled", "another question's thoughts", "k2 dashed"),
    ]
    lines: list[Line] = []
    for model, kind, label, style in (own, *others):
        scores = [(0, task.scores[model].get(NO_THOUGHTS)) if model in task.scores else (0, None)]
        scores += [(length, task.score(model, kind, length)) for length in task.lengths]
        places = {length: float(index) for index, length in enumerate([0, *task.lengths])}
        points = [(places[length], number(score)) for length, score in scores if score is not None]
        if len(points) > 1:
            lines.append(
                Line(
                    label=label,
                    points=points,
                    style=style,
                    has_intervals=model == THINKING,
                    value_text=None if lines else value_text,
                )
            )
    silent = [(0.0, number(task.without))]
    return [*lines, Line(label="trained without thoughts", points=silent, style="k0")]


def _score(task: TaskFigures, length: int) -> Score | None:
    """With the model's own thoughts."""
    if length == 0:
        return task.scores[THINKING].get(NO_THOUGHTS)
    return task.score(THINKING, AS_SERVED, length)


def _length_ticks(task: TaskFigures) -> list[tuple[float, str]]:
    return [(float(index), str(length)) for index, length in enumerate([0, *task.lengths])]


def _thinned(values: Sequence[float], most: int = 9) -> list[float]:
    """Every value, every second one, ...: at most so many, and the last is among them."""
    distance = max(1, math.ceil((len(values) - 1) / (most - 1)))
    return list(values[::-1][::distance][::-1])


def _ticks_to(top: float) -> list[tuple[float, str]]:
    """Ticks from 0 to at least `top`, at a round distance."""
    raw = top / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    return [(index * step, f"{index * step:g}") for index in range(math.ceil(top / step) + 1)]

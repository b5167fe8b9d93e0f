"""Charts: numbers are where the axes say, and labels cannot break the markup."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qstar_eval.bootstrap import Estimate
from qstar_lab.charts import Chart, Line, legend_rows, svg_of
from qstar_lab.page import chart_style
from qstar_lab.plots import accuracy_by_length, accuracy_by_size, nats_by_length, picture

from .measured import CHANCE, LENGTHS, figures, write_measures

SVG = "{http://www.w3.org/2000/svg}"


def chart_of(*values: float, label: str = "one") -> Chart:
    points = [
        (float(x), Estimate(value=value, low=value - 0.1, high=value + 0.1))
        for x, value in enumerate(values)
    ]
    return Chart(
        title="Title <b>",
        x_title="x",
        y_title="y",
        x_ticks=[(0, "0"), (len(values) - 1, "last")],
        y_ticks=[(0, "0"), (1, "1")],
        lines=[Line(label=label, points=points, style="c1")],
    )


def circles(svg: str) -> list[tuple[float, float]]:
    """Places of the points of a chart with one line, without the one of the legend."""
    root = ElementTree.fromstring(svg)
    found = root.iter(f"{SVG}circle")
    return [(float(circle.get("cx", "")), float(circle.get("cy", ""))) for circle in found][:-1]


def y_of_ticks(svg: str) -> dict[str, float]:
    root = ElementTree.fromstring(svg)
    return {
        str(text.text): float(text.get("y", "")) - 4
        for text in root.iter(f"{SVG}text")
        if text.get("class") == "tick end"
    }


def test_points_are_where_the_axes_say() -> None:
    """Between the ticks 0 and 1 every value is at its share of the way."""
    svg = svg_of(chart_of(0.0, 0.25, 1.0))
    ticks = y_of_ticks(svg)
    (x0, y0), (x1, y1), (x2, y2) = circles(svg)
    assert y0 == pytest.approx(ticks["0"])
    assert y2 == pytest.approx(ticks["1"])
    assert y1 == pytest.approx(0.75 * ticks["0"] + 0.25 * ticks["1"])
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)


def test_intervals_end_at_the_axis() -> None:
    svg = svg_of(chart_of(0.0, 1.0))
    ticks = y_of_ticks(svg)
    ends = [float(y) for y in re.findall(r'class="interval".*?y1="([\d.]+)"', svg)]
    assert max(ends) == pytest.approx(ticks["0"])


def test_labels_are_escaped() -> None:
    svg = svg_of(chart_of(0.5, 0.5, label='a < b & "c"'))
    texts = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert 'a < b & "c"' in texts
    assert "Title <b>" in texts


def test_a_long_legend_has_several_rows() -> None:
    lines = [Line(label="x" * 30, points=[], style="c1")] * 4
    assert [len(row) for row in legend_rows(lines)] == [1, 1, 1, 1]
    lines = [Line(label="x" * 8, points=[], style="c1")] * 4
    assert [len(row) for row in legend_rows(lines)] == [4]


def test_one_line_for_each_thought_length(tmp_path: Path) -> None:
    chart = accuracy_by_size(figures([write_measures(tmp_path, seed=0)]))
    assert [line.label for line in chart.lines] == [
        "no thought",
        "1 token",
        *(f"{length} tokens" for length in LENGTHS[1:]),
    ]
    of_4 = [estimate.value for _, estimate in chart.lines[3].points]
    assert of_4 == [1.0] * 4 + [CHANCE] * 4


def test_controls_are_beside_the_thoughts(tmp_path: Path) -> None:
    task = figures([write_measures(tmp_path, seed=0)])
    chart = accuracy_by_length(task)
    assert [line.label for line in chart.lines] == [
        "its own thoughts",
        "random tokens as thoughts",
        "another question's thoughts",
        "trained without thoughts",
    ]
    assert [x for x, _ in chart.lines[0].points] == [0, 1, 2, 3, 4]
    assert chart.level is not None
    assert chart.level[0] == CHANCE
    nats = nats_by_length(task)
    assert nats.level is not None
    assert nats.level[0] == pytest.approx(math.log(8))
    assert nats.y_ticks[-1][0] >= math.log(8)


def test_the_picture_holds_a_chart_of_each_task(tmp_path: Path) -> None:
    task = figures([write_measures(tmp_path, seed=0)])
    root = ElementTree.fromstring(picture([task, task], chart_style()))
    charts = list(root.iter(f"{SVG}svg"))[1:]
    assert len(charts) == 2
    right = [float(chart.get("x", "")) + float(chart.get("width", "")) for chart in charts]
    assert right[0] < float(charts[1].get("x", ""))
    assert right[1] < float(root.get("width", ""))


def test_points_beside_the_ticks_stay_in_the_plot() -> None:
    """A chart with ticks at 2, 4, 6 and a point at 1 drew it over the labels of the y axis."""
    points = [(x, Estimate(value=0.5, low=0.5, high=0.5)) for x in (1.0, 6.0)]
    chart = Chart(
        title="",
        x_title="",
        y_title="",
        x_ticks=[(2, "2"), (4, "4"), (6, "6")],
        y_ticks=[(0, "0"), (1, "1")],
        lines=[Line(label="", points=points, style="")],
    )
    axis = re.search(r'class="axis" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"', svg_of(chart))
    assert axis is not None
    assert all(float(axis[1]) < x < float(axis[2]) for x, _ in circles(svg_of(chart)))

"""Charts and pages of answers: what they say, and that they are safe to open."""

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qstar_eval.answer_output import write_answer_plots
from qstar_eval.answer_page import write_answer_page
from qstar_eval.answer_plots import plot_accuracy_against_thought_length, plot_accuracy_by_group
from qstar_eval.plots import Curve, Interval
from qstar_eval.report import tables
from qstar_eval.task import Record


class Cells(HTMLParser):
    """The text and class of each cell of a table's body, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[tuple[str | None, str]] = []
        self._is_in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "td":
            self._is_in_cell = True
            self.cells.append((dict(attrs).get("class"), ""))

    def handle_endtag(self, tag: str) -> None:
        self._is_in_cell &= tag != "td"

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            shown_as, text = self.cells[-1]
            self.cells[-1] = (shown_as, text + data)


def record_of(**changes: Any) -> Record:
    return {
        "prompt": "1+1=",
        "answer": "2",
        "base_answer": "3",
        "mixed_answer": "2",
        "is_base_right": False,
        "is_mixed_right": True,
        "thought": "11",
        "is_working": True,
        "mixing_weight": 0.25,
    } | changes


def words_of(path: Path) -> list[str]:
    return [text for text in ElementTree.parse(path).getroot().itertext() if text.strip()]


def test_a_page_shows_each_question_and_what_is_right(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_answer_page([record_of()], path, title="sums")
    assert Cells(path.read_text(encoding="utf-8")).cells == [
        (None, "1+1="),
        (None, "2"),
        ("wrong", "3 ✗"),
        ("right", "2 ✓"),
        ("right", "11"),
        (None, "0.25"),
    ]


def test_a_page_runs_and_loads_nothing_of_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    evil = "<script>x</script>\u202e$title"
    record = record_of(prompt=evil, thought=evil, is_working=None, mixed_answer=evil)
    write_answer_page([record], path, title=evil)
    page = Cells(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.cells[0] == (None, "<script>x</script><U+202E>$title")
    assert page.cells[4][0] is None, "a thought without a working is neither right nor wrong"


def points(*shares: float) -> list[tuple[int, Interval]]:
    return [(2**place, (share, share, share)) for place, share in enumerate(shares)]


def test_lengths_are_named_at_equal_distances(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "accuracy.svg"
    curves = [
        Curve(label="lab", kind="sampled", points=points(0.1, 0.2, 0.3, 0.4)),
        Curve(label="lab", kind="shuffled", points=points(0.1)),
    ]
    plot_accuracy_against_thought_length(curves, path)
    words = words_of(path)
    assert {"lab", "thoughts", "others' thoughts", "1", "2", "4", "8"} <= set(words)
    assert "no thoughts" not in words, "a line at 0 would not be the accuracy without thoughts"
    assert "Length of a thought (tokens; 0: no thoughts)" in words


def test_groups_are_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "groups.svg"
    shares = [(place, (0.5, 0.4, 0.6)) for place in range(2)]
    plot_accuracy_by_group(
        [Curve(label="4 tokens", kind="sampled", points=shares)], path, groups=["small", "large"]
    )
    assert {"small", "large", "4 tokens", "Group"} <= set(words_of(path))


def test_without_answer_sets_there_are_no_charts(tmp_path: Path) -> None:
    write_answer_plots({"results": []}, [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_many_figures_are_in_several_tables() -> None:
    """One row of nine figures with their intervals did not fit a terminal."""
    names = [f"f{number}" for number in range(9)]
    figures = {name: {"value": 1.0, "low": 1.0, "high": 1.0} for name in names}
    who = {"checkpoint": "toy", "num_thought_tokens": 2, "thoughts": "sampled"}
    result = {"task": "sums", "num_units": 3, "figures": figures, **who}
    comparison = {"task": "sums", "this": who, "other": who, "figures": figures}
    found = [
        table.headings[-4:]
        for table in tables({"results": [result], "comparisons": [comparison]})
        if len(table.headings) <= 8
    ]
    assert found == [tuple(names[:4]), tuple(names[5:])] * 2

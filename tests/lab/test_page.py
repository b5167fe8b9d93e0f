"""The lab's page is one well-formed file that loads nothing and shows the numbers."""

import re
from html.parser import HTMLParser
from pathlib import Path

from qstar_lab.lab import summary_of, summary_text, write_results
from qstar_lab.page import LabRun, page_of
from qstar_lab.recipe import RECIPES

from .measured import figures, write_measures

VOID = {"meta"}


class Checker(HTMLParser):
    """Collects text, and checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            assert not any(value is None for _, value in attrs)
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only SVG elements are closed so."""
        assert tag in {"circle", "polyline", "line", "rect"}, attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def run_of(directory: Path, *, num_seeds: int = 1) -> LabRun:
    seeds = [write_measures(directory, seed=seed) for seed in range(num_seeds)]
    return LabRun(
        tasks=[figures(seeds)],
        recipes=RECIPES[:1],
        num_seeds=num_seeds,
        num_jobs=2,
        stages={"toy/seed-0/base": ("train the base", 300.0), "toy/x": ("a < b", 0.0)},
        command="qstar lab --out 'a b'",
    )


def checked(page: str) -> str:
    """The page's text, with ordinary spaces."""
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    return " ".join(" ".join(checker.texts).split())


def test_the_page_shows_the_numbers(tmp_path: Path) -> None:
    text = checked(page_of(run_of(tmp_path)))
    for part in (
        "12.5 % right answers, trained without thoughts 11.5 to 13.5 %; chance: 12.5 %",
        "92.5 % right answers with 8 tokens of thought",
        "85.0 % of its speed without thoughts",
        "Toy <task>",
        "Of the 100 tokens that it gave, 100.0 % are those of the definition",
        "5 min of one thread each, 2 at once",
        "qstar lab --out 'a b'",
        "a < b",
        "cpu a machine; torch 9.9",
        f"policy_weight: {RECIPES[0].thoughts.policy_weight}",
    ):
        assert part in text


def test_steps_of_a_thought_are_marked(tmp_path: Path) -> None:
    page = page_of(run_of(tmp_path))
    assert '<span class="step right">b</span><span class="step wrong">&lt;</span>' in page
    assert "ab,&lt;&amp;&gt;?" in page
    assert "wrong, it is d" in page


def test_nothing_is_loaded(tmp_path: Path) -> None:
    page = page_of(run_of(tmp_path))
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a format, not fetched
    assert not re.findall(r"<(script|link|img|iframe)|@import|url\(", page)


def test_several_seeds_are_named(tmp_path: Path) -> None:
    text = checked(page_of(run_of(tmp_path, num_seeds=3)))
    assert "3 seeds, numbers are means over seeds" in text
    assert "With 8 tokens, seed by seed: 92.5 %, 93.5 %, 94.5 %." in text


def test_the_summary_has_the_numbers_and_what_does_not_hold(tmp_path: Path) -> None:
    text = summary_of(run_of(tmp_path)).replace("\N{NO-BREAK SPACE}", " ")
    assert "| 92.5 % | right answers with 8 tokens of thought | 91.5 to 93.5 %; chance" in text
    assert "\n- 8 tokens of thought answer at least 97.0 %: 92.5 %\n" in text
    plain = summary_text(run_of(tmp_path / "other")).replace("\N{NO-BREAK SPACE}", " ")
    assert "\n    92.5 %  right answers with 8 tokens of thought (91.5 to 93.5 %; chance" in plain


def test_all_files_are_written(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    write_results(run, tmp_path)
    names = {"index.html", "lab.svg", "summary.md", "results.json"}
    assert names <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "summary.md").read_text() == summary_of(run)

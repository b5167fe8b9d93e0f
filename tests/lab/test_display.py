"""What a person sees while the lab runs."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from qstar_lab import display
from qstar_lab.display import shown_on, summary_text, table_of
from qstar_lab.run_stages import Running, View
from qstar_lab.stage import Stage

from .fake_stages import FakeLab, FakeProcess


def running(stage: Stage, step: int = 0) -> Running:
    process: FakeProcess = FakeProcess(None)  # type: ignore[arg-type]  # never asked
    return Running(stage, process, began=0.0, step=step)


def training() -> Stage:
    settings = {"output": "run", "steps": 40}
    return Stage(name="t/base", title="train it", work="train", settings=settings, expected_s=9.0)


def test_a_terminal_shows_a_row_for_each_running_stage() -> None:
    view = View(3, 9, [running(training(), step=10)], seconds_left=125.0)
    console = Console(file=StringIO(), width=100)
    with console.capture() as capture:
        console.print(table_of(view))
    first, row = capture.get().splitlines()[:2]
    assert first.strip() == "3 of 9 stages done, about 2 min left"
    assert row.split()[:3] == ["t/base", "train", "it"]
    assert row.split()[-2:] == ["step", "10/40"]


def test_a_log_file_gets_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "SECONDS_BETWEEN_LINES", 0.0)
    lab, file = FakeLab(tmp_path), StringIO()
    lab.add("a")
    lab.add("b", "a", seconds=0.3)
    with shown_on(Console(file=file, width=40)) as observer:
        lab.run(observer=observer)
        lab.run(observer=observer)
    lines = file.getvalue().splitlines()
    assert lines[0] == "begin  a: make a"
    assert "done   a: make a, 0 s" in lines
    assert [line for line in lines if line.startswith("1 of 2 stages done") and ": b " in line]
    assert lines[-2:] == ["kept   a: make a", "kept   b: make b"]
    assert "\x1b" not in file.getvalue()


def test_names_cannot_control_the_terminal() -> None:
    stage = Stage(name="\x1b[2Jx", title="[red]t", work="w", settings={}, expected_s=1.0)
    console = Console(file=StringIO(), width=100)
    with console.capture() as capture:
        console.print(table_of(View(0, 1, [running(stage)], 0.0)))
    assert "\x1b[2J" not in capture.get()
    assert "[red]t" in capture.get()


def test_summary() -> None:
    assert summary_text(View(0, 30, [], 3700.0)) == "0 of 30 stages done, about 1 h 02 min left"

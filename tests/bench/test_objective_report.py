"""What the objective's benchmark concludes, from made-up numbers, and that one step measures."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.objective.plot import plot_report
from benchmarks.objective.report import ObjectiveReport, Row, objective_table, summary
from benchmarks.objective.run import run_step

MIB = 2**20


def row(way: str, seq: int, *, seconds: float, mib: int, total: float = 9.0) -> Row:
    return Row(
        way=way,
        seq=seq,
        seconds=[seconds, 2 * seconds, 0.5 * seconds],
        peak_bytes=[mib * MIB],
        losses={"total": total},
    )


def make_report(deviating: float = 0.0) -> ObjectiveReport:
    return ObjectiveReport(
        rows=[
            row("ours", 128, seconds=1.0, mib=100),
            row("ours", 256, seconds=2.0, mib=200),
            row("cached", 128, seconds=1.0, mib=100),
            row("cached", 256, seconds=4.0, mib=400, total=9.0 + deviating),
            row("recomputed", 128, seconds=8.0, mib=800),
            Row(way="recomputed", seq=256, seconds=[], peak_bytes=[], losses={}),
        ],
        num_thought_tokens=12,
        num_talk_tokens=4,
        repeats=3,
        model="made-up",
        command="none",
        hardware="none",
        memory_gib=24.0,
        versions={},
    )


def test_comparisons_hold_ours_against_each_way_that_fits() -> None:
    comparisons = make_report().comparisons()
    assert comparisons == {
        "cached": {
            "speed_ratio": 2.0,
            "memory_ratio": 0.5,
            "is_fast_enough": False,
            "is_small_enough": False,
        }
    }


def test_growth_is_the_power_of_the_length() -> None:
    growth = make_report().growth()
    assert growth == {"ours": pytest.approx(1.0), "cached": pytest.approx(2.0)}


def test_other_losses_are_found_out() -> None:
    assert make_report().deviation() == 0
    assert make_report(deviating=0.009).deviation() == pytest.approx(1e-3)
    assert any("NOT met" in line for line in summary(make_report(deviating=0.009)) if "dev" in line)


def test_table_json_and_plot_say_what_does_not_fit(tmp_path: Path) -> None:
    report = make_report()
    assert "does not fit" in list(objective_table(report).columns[5].cells)
    missing = json.loads(json.dumps(report.to_json(), allow_nan=False))["rows"][-1]
    assert missing["fits"] is False
    plot_report(report, tmp_path / "plot.svg")
    words = "".join(ElementTree.parse(tmp_path / "plot.svg").getroot().itertext())
    assert "MiB" in words
    assert "positions per second" in words


@pytest.mark.parametrize("way", ["ours", "cached"])
def test_a_step_in_its_own_process_has_time_memory_and_losses(way: str) -> None:
    step = run_step(way, 16, threads=1)
    assert step is not None
    assert step["seconds"] > 0
    assert step["peak_bytes"] > 0
    assert step["language"] > 0

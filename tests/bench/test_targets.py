"""`python -m benchmarks.targets`: figures against targets, from made-up results."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.main import get_command

from benchmarks.targets import __main__ as targets
from benchmarks.targets.judge import Measure, judge, load_commands, load_measures
from qstar_infer.bench.hardware import machine_kind
from qstar_infer.cli.bench.app import app as bench_app
from qstar_infer.errors import ConfigError

COMMANDS = {"a": "bench decode", "b": "bench batch"}
BEST = Measure(measure="speed", figures=("a ratios.x", "b ratios.x"), target=2.0)


def test_the_best_way_counts() -> None:
    verdict = judge(BEST, {"a": {"ratios": {"x": 1.5}}, "b": {"ratios": {"x": 2.0}}}, COMMANDS)
    assert (verdict.figure, verdict.holds, verdict.command) == (2.0, True, "qstar bench batch")


@pytest.mark.parametrize("results", [{}, {"a": {}}, {"a": {"ratios": {"x": None}}}])
def test_what_was_not_measured_does_not_hold(results: dict[str, Any]) -> None:
    verdict = judge(BEST, results, COMMANDS)
    assert (verdict.figure, verdict.holds) == (None, False)
    assert verdict.command == "qstar bench decode; qstar bench batch"


def test_a_figure_below_its_target_is_missed() -> None:
    verdict = judge(BEST, {"a": {"ratios": {"x": 1.99}}}, COMMANDS)
    assert not verdict.holds
    assert "MISSED" in list(targets.verdict_table([verdict], "avx2").columns[3].cells)


def test_each_kind_has_its_targets() -> None:
    """Figures of the issue that asked for them."""
    avx2, avx512 = (
        {each.measure: each.target for each in load_measures(kind)}
        for kind in ("avx2", "avx512-bf16")
    )
    assert len(avx2) == len(avx512) == 14
    paper = "thinking / the paper's way"
    assert (avx2[paper], avx512[paper]) == (20.0, 30.0)
    assert load_measures("avx512") == load_measures("avx2")  # without bfloat16 instructions


def test_measures_name_commands_and_commands_name_options_that_exist() -> None:
    commands = load_commands()
    for measure in load_measures("avx2"):
        assert {figure.partition(" ")[0] for figure in measure.figures} <= commands.keys()
    known = get_command(bench_app).commands  # type: ignore[attr-defined]
    for command in commands.values():
        group, name, *words = shlex.split(command)
        assert group == "bench"
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, command


def test_a_run_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[str] = []

    def measure(command: str, path: Path, console: Console) -> str | None:
        del console
        ran.append(command)
        if "batch" in command:
            return "no memory"
        path.write_text(json.dumps({"ratios": {"plain_over_transformers": 9.0}}))
        return None

    monkeypatch.setattr(targets, "measure", measure)
    targets.run(results=tmp_path)
    assert ran == list(load_commands().values())
    kind = machine_kind(torch.device("cpu"))
    rows = json.loads((tmp_path / f"targets-{kind}.json").read_text())["measures"]
    assert {row["holds"] for row in rows} == {True, False}
    ran.clear()
    targets.run(results=tmp_path, again="context")
    assert ran == [load_commands()["batch"], load_commands()["context"]]
    with pytest.raises(ConfigError, match="--again no-such"):
        targets.run(results=tmp_path, again="no-such")


@pytest.mark.slow
def test_a_command_that_fails_says_why_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    failure = targets.measure("bench decode --model ./no-such-model", path, Console(quiet=True))
    assert failure is not None
    assert "no-such-model" in failure
    assert list(tmp_path.iterdir()) == []


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "benchmarks.targets", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--again" in result.stdout

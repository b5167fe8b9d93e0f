"""Runs the commands of `targets.json`, and prints measure, target, figure and command.

    python -m benchmarks.targets                    what has no results yet
    python -m benchmarks.targets --again decode-torch,batch
    python -m benchmarks.targets --again all

Each command writes `results/COMMAND-KIND.json`, so that a run that was stopped goes on where it
stopped; KIND is that of this machine, such as avx2. The table goes to `results/targets-KIND.json`.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.targets.judge import Verdict, judge, load_commands, load_measures
from qstar_infer.bench.hardware import load_average, machine_kind, this_machine, versions
from qstar_infer.errors import ConfigError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def run(
    *,
    again: Annotated[
        str, typer.Option(help="Commands to measure again, separated by commas, or all.")
    ] = "",
    options: Annotated[
        str, typer.Option(help="More options for every command, such as a smaller model.")
    ] = "",
    results: Annotated[Path, typer.Option(help="Where results are read and written.")] = RESULTS,
) -> None:
    """Measure what is missing, and compare with the targets."""
    commands = load_commands()
    kind = machine_kind(torch.device("cpu"))
    console = Console()
    anew = _names(again, commands)
    for name, command in commands.items():
        path = results / f"{name}-{kind}.json"
        if name in anew or not path.exists():
            failure = measure(f"{command} {options}".strip(), path, console)
            if failure is not None:
                path.unlink(missing_ok=True)  # or an older result would pass for this one
                console.print(f"{name} failed: {failure}", markup=False, highlight=False)
    found = {
        name: json.loads(path.read_text("utf-8"))
        for name in commands
        if (path := results / f"{name}-{kind}.json").exists()
    }
    verdicts = [judge(each, found, commands) for each in load_measures(kind)]
    _write(verdicts, results / f"targets-{kind}.json", options)
    console.print(verdict_table(verdicts, kind))


def measure(command: str, path: Path, console: Console) -> str | None:
    """Run one command in a process of its own; returns why it failed, or None.

    Args:
        command: without `qstar`.
        path: gets its JSON, and beside it the plot. Written only if the command succeeds.
    """
    console.print(f"qstar {command} (load average {load_average()})", markup=False)
    started = time.perf_counter()
    unfinished = path.with_suffix(".unfinished.json")
    outputs = ["--json", str(unfinished), "--plot", str(path.with_suffix(".svg"))]
    line = [sys.executable, "-m", "qstar_infer.cli.main", *shlex.split(command), *outputs]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        unfinished.unlink(missing_ok=True)
        return (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
    numbers: dict[str, Any] = json.loads(unfinished.read_text("utf-8"))
    seconds = round(time.perf_counter() - started)
    text = json.dumps({"command": f"qstar {command}", "seconds": seconds} | numbers, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    unfinished.unlink()
    console.print(f"  {seconds} s", highlight=False)
    return None


def verdict_table(verdicts: list[Verdict], kind: str) -> Table:
    """Measure, target, figure, whether it holds, command."""
    table = Table(title=f"What must hold ({kind})")
    for column in ("measure", "target", "figure", "", "command"):
        table.add_column(column, justify="right" if column in ("target", "figure") else "left")
    for verdict in verdicts:
        figure = "not measured" if verdict.figure is None else f"{verdict.figure:.3g}"
        holds = "holds" if verdict.holds else "MISSED"
        table.add_row(verdict.measure, f"{verdict.target:g}", figure, holds, verdict.command)
    return table


def _names(again: str, commands: dict[str, str]) -> set[str]:
    names = {name.strip() for name in again.split(",") if name.strip()}
    if names == {"all"}:
        return set(commands)
    unknown = names - commands.keys()
    if unknown:
        raise ConfigError(
            f"--again {', '.join(sorted(unknown))}: the commands are {', '.join(commands)}, or all"
        )
    return names


def _write(verdicts: list[Verdict], path: Path, options: str) -> None:
    machine = this_machine(torch.device("cpu"))
    report = {
        "machine": machine.describe(),
        "versions": versions(),
        "options": options,
        "measures": [verdict.to_json() for verdict in verdicts],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(run)

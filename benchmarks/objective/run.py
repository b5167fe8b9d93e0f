"""Measures the training objective, ours and the paper's: memory and speed by sequence length.

    python -m benchmarks.objective.run

Each measurement runs in a separate process. The ways alternate, so that a machine that slows down
slows all of them. A way that does not fit in memory is not tried at larger lengths.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.objective.plot import plot_report
from benchmarks.objective.report import WAYS, ObjectiveReport, Row, objective_table, summary
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.errors import ConfigError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
NUM_THOUGHT_TOKENS, NUM_TALK_TOKENS = 12, 4
MODEL = "Llama of random weights (hidden 256, 4 layers, 4 heads, 2 kv, vocab 4096), float32"
KILLED = -9
"""Exit code if the kernel killed the process because memory ran out."""


def run(
    *,
    lengths: Annotated[
        str, typer.Option(help="Sequence lengths, separated by commas.")
    ] = "64,128,256,512,1024",
    repeats: Annotated[
        int, typer.Option(help="Number of rounds; the median is reported.", min=1)
    ] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = torch.get_num_threads(),
    out: Annotated[Path, typer.Option(help="JSON file; the plot is next to it as .svg.")] = RESULTS
    / "objective-cpu.json",
) -> None:
    """Measure one training step in three ways."""
    seqs = _parse(lengths)
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: the directory does not exist; create it first")
    rows = {(way, seq): _empty(way, seq) for seq in seqs for way in WAYS}
    for (way, seq), step in _measure(seqs, repeats, threads):
        row = rows[way, seq]
        row.seconds.append(step["seconds"])
        row.peak_bytes.append(step["peak_bytes"])
        row.losses.update({name: step[name] for name in ("total", "language", "policy")})
    torch.set_num_threads(threads)
    report = ObjectiveReport(
        rows=list(rows.values()),
        num_thought_tokens=NUM_THOUGHT_TOKENS,
        num_talk_tokens=NUM_TALK_TOKENS,
        repeats=repeats,
        model=MODEL,
        command=f"python -m benchmarks.objective.run --lengths {lengths} --repeats {repeats} "
        f"--threads {threads}",
        hardware=describe_device(torch.device("cpu")),
        memory_gib=psutil.virtual_memory().total / 2**30,
        versions=versions(),
    )
    out.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    plot_report(report, out.with_suffix(".svg"))
    console = Console()
    console.print(objective_table(report))
    for line in summary(report):
        console.print(line, highlight=False, markup=False)


def _parse(lengths: str) -> list[int]:
    try:
        seqs = sorted({int(length) for length in lengths.split(",")})
    except ValueError:
        raise ConfigError(f"--lengths {lengths!r} must be numbers separated by commas") from None
    if seqs[0] <= NUM_TALK_TOKENS + 1:
        raise ConfigError(f"--lengths {lengths!r}: each must exceed {NUM_TALK_TOKENS + 1}")
    return seqs


def _empty(way: str, seq: int) -> Row:
    return Row(way=way, seq=seq, seconds=[], peak_bytes=[], losses={})


def _measure(
    seqs: list[int], repeats: int, threads: int
) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """Yield each measurement: `(way, seq)` and the figures of the step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    turns = [(way, seq) for _ in range(repeats) for seq in seqs for way in WAYS]
    too_long = dict.fromkeys(WAYS, seqs[-1] + 1)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(turns))
        for way, seq in turns:
            progress.update(bar, description=f"{WAYS[way]}, {seq} tokens")
            step = run_step(way, seq, threads=threads) if seq < too_long[way] else None
            if step is None:
                too_long[way] = min(too_long[way], seq)
            else:
                yield (way, seq), step
            progress.advance(bar)


def run_step(way: str, seq: int, *, threads: int) -> dict[str, Any] | None:
    """Run one measurement in a new process; None if it does not fit in memory."""
    numbers = (seq, NUM_THOUGHT_TOKENS, NUM_TALK_TOKENS, threads)
    command = [sys.executable, "-m", "benchmarks.objective.step", way, *map(str, numbers)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode == KILLED:
        return None
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    step: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return step if step["fits"] else None


if __name__ == "__main__":
    typer.run(run)

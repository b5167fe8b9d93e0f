"""Measure speed on this machine, as a table and as JSON."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from qstar_infer.bench.report import DecodeConfig, DecodeReport
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.terminal import safe_text
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


@app.command()
@with_engine_options
def decode(
    *,
    mixing_weight: Annotated[
        float | None,
        typer.Option(help="Use this constant mixing weight, so that drafts get rejected."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="New tokens per call.", min=2)] = 48,
    repeats: Annotated[int, typer.Option(help="Rounds; rates are their medians.", min=1)] = 3,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the numbers to this file.")
    ] = None,
    engine_args: EngineArgs,
) -> None:
    """Compare decoding speed at batch 1: transformers, ours not thinking, ours thinking."""
    config = DecodeConfig(
        engine_args=engine_args,
        mixing_weight=mixing_weight,
        max_tokens=max_tokens,
        repeats=repeats,
        threads=threads,
    )
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise ConfigError(f"--json {json_file}: its directory does not exist; create it first")
    report = _run(config)
    _print_report(report, Console())
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")


def _run(config: DecodeConfig) -> DecodeReport:
    from qstar_infer.bench.decode import run_decode  # imports torch, so only when it runs

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Loading and warming up", total=None)

        def on_call(num_done: int, num_calls: int) -> None:
            progress.update(task, description="Decoding", completed=num_done, total=num_calls)

        return run_decode(config, on_call=on_call)


def _print_report(report: DecodeReport, console: Console) -> None:
    console.print(decode_table(report))
    agreement = "no drafts" if report.agreement is None else f"{report.agreement:.3f}"
    weight = "" if report.mixing_weight is None else f", mixing weight {report.mixing_weight:g}"
    lines = (
        f"agreement {agreement}, {report.passes_per_token:.2f} passes per token, "
        f"{report.num_thought_tokens} tokens per thought{weight}",
        f"same text: wavefront and sequential {report.wavefront_equals_sequential:.0%}, "
        f"plain and transformers {report.plain_equals_transformers:.0%} of the prompts",
        f"{report.model}, {report.dtype}, {report.hardware}; batch 1, greedy, "
        f"{report.num_prompts} prompts of {report.num_prompt_tokens} tokens in all, "
        f"{report.max_tokens} new tokens each; whole calls, median of {report.repeats} rounds",
    )
    for line in lines:
        console.print(safe_text(line), soft_wrap=True)


def decode_table(report: DecodeReport) -> Table:
    """One row for each decoder."""
    table = Table(title="Decoding speed")
    table.add_column("decoder")
    for heading in ("tokens/s", "x transformers", "x sequential"):
        table.add_column(heading, justify="right")
    rates = {
        "transformers generate": report.transformers_tok_s,
        "ours, not thinking": report.plain_tok_s,
        "ours, thinking sequentially": report.sequential_tok_s,
        "ours, thinking with the wavefront": report.wavefront_tok_s,
    }
    for name, rate in rates.items():
        to_transformers = rate / report.transformers_tok_s
        to_sequential = rate / report.sequential_tok_s
        table.add_row(name, f"{rate:.1f}", f"{to_transformers:.2f}", f"{to_sequential:.2f}")
    return table

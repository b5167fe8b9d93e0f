"""`qstar bench decode`: speed of one sequence."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Repeats, Threads
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def decode(
    *,
    mixing_weight: Annotated[
        float | None,
        typer.Option(help="Use this constant mixing weight, so that drafts get rejected."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="New tokens per call.", min=2)] = 48,
    repeats: Repeats = 3,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Compare decoding speed of one sequence: others, ours not thinking, ours thinking."""
    check_outputs(json_file, plot_file)
    from qstar_infer.bench.decode import DecodeConfig, run_decode  # imports torch

    config = DecodeConfig(
        engine_args=engine_args,
        mixing_weight=mixing_weight,
        max_tokens=max_tokens,
        repeats=repeats,
        threads=threads,
    )
    with progress_bar() as on_call:
        report = run_decode(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

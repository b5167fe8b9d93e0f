"""`qstar bench batch`: throughput of many sequences at once."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Repeats, Threads, numbers
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def batch(
    *,
    sizes: Annotated[
        str, typer.Option(help="Numbers of sequences at once, separated by commas.")
    ] = "1,4,16,64",
    max_tokens: Annotated[int, typer.Option(help="New tokens of each sequence.", min=2)] = 32,
    repeats: Repeats = 3,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Compare throughput with many sequences: transformers' two ways, ours, ours thinking."""
    check_outputs(json_file, plot_file)
    found = numbers("--sizes", sizes)
    from qstar_infer.bench.batch import BatchConfig, run_batch  # imports torch

    config = BatchConfig(
        engine_args=engine_args,
        sizes=found,
        max_tokens=max_tokens,
        repeats=repeats,
        threads=threads,
    )
    with progress_bar() as on_call:
        report = run_batch(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

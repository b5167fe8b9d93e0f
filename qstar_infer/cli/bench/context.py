"""`qstar bench context`: decoding speed against the length of the context."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Repeats, Threads, numbers
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def context(
    *,
    lengths: Annotated[
        str, typer.Option(help="Tokens of context, prompt and output, separated by commas.")
    ] = "256,2048,8192",
    max_tokens: Annotated[int, typer.Option(help="New tokens per call.", min=2)] = 24,
    repeats: Repeats = 3,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Compare decoding speed at several lengths of context, without the time for the prompt."""
    check_outputs(json_file, plot_file)
    found = numbers("--lengths", lengths)
    from qstar_infer.bench.context import ContextConfig, run_context  # imports torch

    config = ContextConfig(
        engine_args=engine_args,
        lengths=found,
        max_tokens=max_tokens,
        repeats=repeats,
        threads=threads,
    )
    with progress_bar() as on_call:
        report = run_context(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

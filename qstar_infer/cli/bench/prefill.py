"""`qstar bench prefill`: how fast prompts are read."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Repeats, Threads, numbers
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def prefill(
    *,
    lengths: Annotated[
        str, typer.Option(help="Tokens of a prompt, separated by commas.")
    ] = "128,1000,4096,8192",
    score: Annotated[
        bool, typer.Option("--score", help="Also compare the scoring of prompts (prompt_logprobs).")
    ] = False,
    repeats: Repeats = 3,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Compare the time to read a prompt: transformers, ours, ours when the prompt comes again."""
    check_outputs(json_file, plot_file)
    found = numbers("--lengths", lengths)
    from qstar_infer.bench.prefill import PrefillConfig, run_prefill  # imports torch

    config = PrefillConfig(
        engine_args=engine_args, lengths=found, scores=score, repeats=repeats, threads=threads
    )
    with progress_bar() as on_call:
        report = run_prefill(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

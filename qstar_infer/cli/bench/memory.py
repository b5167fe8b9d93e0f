"""`qstar bench memory`: peak memory of loading and serving."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Threads
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def memory(
    *,
    quantizations: Annotated[
        str,
        typer.Option(help="More ways to measure: values of --quantization, separated by commas."),
    ] = "",
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt.", min=1)] = 256,
    max_tokens: Annotated[int, typer.Option(help="New tokens.", min=2)] = 16,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Measure the peak memory of loading and serving, each way in a fresh process (Linux)."""
    check_outputs(json_file, plot_file)
    from qstar_infer.bench.memory import MemoryConfig, run_memory

    config = MemoryConfig(
        engine_args=engine_args,
        quantizations=[name.strip() for name in quantizations.split(",") if name.strip()],
        num_prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        threads=threads,
    )
    with progress_bar() as on_call:
        report = run_memory(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

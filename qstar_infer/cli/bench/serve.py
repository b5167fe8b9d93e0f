"""`qstar bench serve`: latencies of a server under load."""

from typing import Annotated

import typer

from qstar_infer.cli.bench.options import JsonFile, PlotFile, Threads, positive_numbers
from qstar_infer.cli.bench.show import check_outputs, progress_bar, show_report
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.engine_args import EngineArgs


@with_engine_options
def serve(
    *,
    url: Annotated[
        str | None,
        typer.Option(
            help="A running server, such as http://127.0.0.1:8000/v1.",
            show_default="start one with the engine options",
        ),
    ] = None,
    rate: Annotated[
        str, typer.Option(help="Requests per second; several separated by commas.")
    ] = "0.5,1,2",
    duration: Annotated[
        float, typer.Option(help="Seconds in which requests arrive.", min=0.1)
    ] = 30.0,
    thinking: Annotated[
        bool | None,
        typer.Option("--thinking/--no-thinking", help="Only with or only without thoughts."),
    ] = None,
    prompt_words: Annotated[int, typer.Option(help="Words of a prompt.", min=1)] = 48,
    max_tokens: Annotated[int, typer.Option(help="New tokens per request.", min=2)] = 48,
    ttft_limit: Annotated[
        float, typer.Option(help="Goodput: most seconds to the first token.", min=0.0)
    ] = 2.0,
    itl_limit: Annotated[
        float, typer.Option(help="Goodput: most seconds per later token, on average.", min=0.0)
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Of arrivals and prompts.")] = 0,
    threads: Threads = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
    engine_args: EngineArgs,
) -> None:
    """Measure latencies under load: requests arrive at random, whether or not others have ended."""
    check_outputs(json_file, plot_file)
    rates = positive_numbers("--rate", rate)
    from qstar_infer.bench.serve.run import MODES, ServeConfig, run_serve  # imports torch

    modes = tuple(MODES) if thinking is None else ("thinking" if thinking else "plain",)
    config = ServeConfig(
        engine_args=engine_args,
        url=url,
        rates=rates,
        duration_s=duration,
        modes=modes,
        prompt_words=prompt_words,
        max_tokens=max_tokens,
        ttft_limit_s=ttft_limit,
        itl_limit_s=itl_limit,
        seed=seed,
        threads=threads,
    )
    with progress_bar() as on_call:
        report = run_serve(config, on_call=on_call)
    show_report(report, json_file=json_file, plot_file=plot_file)

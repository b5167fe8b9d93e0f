"""`qstar bench`: the group of its commands."""

import typer

from qstar_infer.cli.bench.decode import decode

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


for command in (decode,):
    app.command()(command)

"""`qstar bench`: the group of its commands."""

import typer

from qstar_infer.cli.bench.batch import batch
from qstar_infer.cli.bench.context import context
from qstar_infer.cli.bench.decode import decode
from qstar_infer.cli.bench.memory import memory
from qstar_infer.cli.bench.prefill import prefill
from qstar_infer.cli.bench.serve import serve

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def bench() -> None:
    """Measure speed on this machine."""


for command in (decode, context, batch, prefill, memory, serve):
    app.command()(command)

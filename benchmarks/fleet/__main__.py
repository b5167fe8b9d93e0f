"""Simulates servers, sizes fleets, and measures what both need to know.

    python -m benchmarks.fleet plan --gpu h200 --shape mistral-7b --rate 10
    python -m benchmarks.fleet plan --gpu h200 --shape mistral-7b --rate 1000 --p95-ttft 1
    python -m benchmarks.fleet measure-steps --model CHECKPOINT --out FILE
    python -m benchmarks.fleet plan --times FILE --rate 2
    python -m benchmarks.fleet measure-python
    python -m benchmarks.fleet check
    python -m benchmarks.fleet thinking
    python -m benchmarks.fleet capacity

docs/scale.md says what each is for.
"""

import typer

from benchmarks.fleet import measuring, planning, tables

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(planning.plan)
app.command()(measuring.measure_steps)
app.command()(measuring.measure_python)
app.command()(measuring.check)
app.command()(tables.thinking)
app.command()(tables.capacity)

if __name__ == "__main__":
    app()

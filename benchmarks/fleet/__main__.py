"""Simulates servers, sizes fleets, and measures what both need to know. See docs/scale.md.

python -m benchmarks.fleet run --gpu h200 --shape mistral-7b --rate 10
python -m benchmarks.fleet size --gpu h200 --shape mistral-7b --rate 1000 --price 4
python -m benchmarks.fleet measure-steps --model CHECKPOINT --out FILE
python -m benchmarks.fleet run --times FILE --rate 2
python -m benchmarks.fleet measure-python
python -m benchmarks.fleet check
"""

import typer

from benchmarks.fleet import measuring, planning

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(planning.plan)
app.command()(measuring.measure_steps)
app.command()(measuring.measure_python)
app.command()(measuring.check)

if __name__ == "__main__":
    app()

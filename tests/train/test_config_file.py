"""Settings: the file, what is laid over it, and errors that say what to write instead."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.config_file import Config, load_config


class Inner(Config):
    """Nested."""

    rate: float = Field(default=0.5, gt=0)
    """Above 0."""


class Outer(Config):
    """The whole."""

    steps: int = Field(ge=1)
    name: str | None = None
    inner: Inner = Inner()
    maybe: Inner | None = None
    sources: list[SourceConfig] = []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(
        "steps: 3\ninner: {rate: 2}\nsources:\n- path: a.jsonl\n- path: b.txt\n", encoding="utf-8"
    )
    return path


def test_assignments_win_over_the_file_and_the_file_over_defaults(file: Path) -> None:
    settings = load_config(Outer, file, ["steps=4", "sources.1.weight=2.5", "maybe.rate=1e-3"])
    assert settings == Outer(
        steps=4,
        inner=Inner(rate=2),
        maybe=Inner(rate=0.001),
        sources=[SourceConfig(path="a.jsonl"), SourceConfig(path="b.txt", weight=2.5)],
    )


def test_values_are_yaml() -> None:
    settings = load_config(Outer, None, ["steps=1", "sources=[{path: x}]", "name=null"])
    assert settings.sources == [SourceConfig(path="x")]
    assert settings.name is None


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    assert load_config(Inner, path) == Inner()


def test_settings_do_not_change() -> None:
    inner: Any = Inner()  # Any: mypy would reject the assignment
    with pytest.raises(ValidationError, match="frozen"):
        inner.rate = 1.0


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ([], "steps is missing and has no default"),
        (["steps=0"], "steps = 0: should be greater than or equal to 1"),
        (["steps=true"], "steps = True: true and false are no value of this setting"),
        (
            ["steps=1", "name=2026-11-31"],
            "'2026-11-31' is not YAML: day is out of range.*quotation",
        ),
        (["steps=many"], "steps = 'many': should be a valid integer"),
        (["steps=1", "inner.rate=.nan"], "inner.rate = nan: should be a finite number"),
        (["steps=1", "step=2"], r"step is not a setting; did you mean steps\?"),
        (["steps=1", "inner.zzz=2"], "inner.zzz is not a setting; the settings here are rate"),
        (["steps=1", "maybe.rat=2"], r"maybe.rat is not a setting; did you mean rate\?"),
        (
            ["steps=1", "sources=[{path: x, weigth: 2}]"],
            r"sources.0.weigth is not a setting; did you mean weight\?",
        ),
        (["steps=1", "sources=[{path: x, weight: 0}]"], r"sources.0.weight = 0: .*greater than 0"),
        (["steps=0", "inner.rate=0"], "steps = 0.*; inner.rate = 0"),
        (["steps"], "--set 'steps' is not of the form key=value"),
        (["=1"], "is not of the form key=value"),
        (["steps=[1"], r"--set steps: '\[1' is not YAML"),
        (["steps=1", "steps.x=1"], "--set steps.x: 'x' is below a value"),
        (["steps=1", "steps.x.y=1"], "--set steps.x.y: 'x' is below a value"),
        (
            ["sources=[]", "sources.0.path=x"],
            "--set sources.0.path: '0' is no index of the list, which has 0",
        ),
        (["sources=[{path: a}]", "sources.1=x"], "'1' is no index of the list, which has 1"),
        (["sources=[{path: a}]", "sources.last=x"], "'last' is no index of the list"),
    ],
)
def test_what_is_wrong_is_named(assignments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Outer, None, assignments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: .*Give a YAML file"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: [", "is not YAML"),
        (b"[" * 10_000, "is not YAML"),  # a RecursionError
        (b"- a\n", "must hold `key: value` lines, not a list"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(Outer, path)

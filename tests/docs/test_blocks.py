"""Every code block of the pages is what its language says, and runs, or says why it does not.

Programs and commands are run as a reader would: those of one page one after the other, against a
server with a tiny model. What is not run is read: the options of our own commands must exist, and
the bodies of requests must be valid.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from qstar_server.app import create_app
from qstar_server.settings.config import ServerConfig
from typer.testing import CliRunner

from qstar_eval.config import EvalConfig
from qstar_infer.cli.main import app
from qstar_infer.engine.protocol import Engine
from qstar_train.config import TrainConfig
from tests.docs.blocks import NOT_RUN, ROOT, Block, blocks_of, pages
from tests.docs.shell_commands import bodies_in, check_command, check_ends_soon, commands_in
from tests.server.documented import Documented

LANGUAGES = {"python", "sh", "json", "yaml", "text", "mermaid", "js", "ts", "html"}
HERE = "http://127.0.0.1:8000"
PAGES = [page for page in pages() if blocks_of(page)]
ALL = [block for page in PAGES for block in blocks_of(page)]
WITH_PROGRAMS = [
    page
    for page in PAGES
    if any(block.language in ("python", "sh") and block.mark is None for block in blocks_of(page))
]


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/api.md", "docs/index.md", "clients/python/README.md"} <= set(PAGES)
    assert len(ALL) > 80
    assert len(WITH_PROGRAMS) > 8


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_says_its_language(block: Block) -> None:
    assert block.language in LANGUAGES, "write ```text above what is no code"
    assert block.mark != "not run" or block.note, "say why it is not run"


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "yaml"], ids=str)
def test_yaml_is_yaml_and_has_settings_that_exist(block: Block) -> None:
    """Settings of recipes are tried in a recipe."""
    values = yaml.safe_load(block.text)
    if block.page == "docs/training.md":
        is_training = set(values) <= set(TrainConfig.model_fields)
        name, kind = ("small", TrainConfig) if is_training else ("evaluate", EvalConfig)
        recipe = yaml.safe_load((ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8"))
        kind.model_validate({**recipe, **values})
    assert values


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "python"], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "sh"], ids=str)
def test_commands_exist_with_these_options(block: Block) -> None:
    commands = list(commands_in(block.text))
    assert commands
    for words in commands:
        check_command(words)
        if block.mark is None:
            check_ends_soon(words)


@pytest.mark.parametrize("block", [each for each in ALL if each.language == "sh"], ids=str)
def test_bodies_of_requests_are_as_documented(block: Block, documented: Documented) -> None:
    for path, body in bodies_in(block.text):
        documented.check_request(path, body)


@pytest.fixture(scope="module")
def documented() -> Documented:
    def no_engine() -> Engine:
        raise AssertionError("the app is described and never started")

    return Documented(create_app(no_engine, ServerConfig()).openapi())


@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_programs_run(
    page: str, server_of: Callable[[str], str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And print what the page says that they print."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks_of(page):
        text = block.text
        if HERE in text or "QStarClient" in text:
            monkeypatch.setenv("QSTAR_BASE_URL", server_of(page))
            text = text.replace(HERE, server_of(page))
        if block.mark == "file":
            Path(block.note).write_text(text, encoding="utf-8")
        elif block.mark == "output":
            assert printed.strip() == text.strip(), f"{block} is not what was printed"
        elif block.mark is None and block.language == "python":
            printed = run_python(text, names, str(block))
        elif block.mark is None and block.language == "sh":
            printed = run_shell(text)


def run_python(text: str, names: dict[str, object], place: str) -> str:
    """What a program prints. It sees, and adds to, the names of those before it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, place, "exec"), names)
    return printed.getvalue()


def run_shell(text: str) -> str:
    """What a block of commands prints; the first one that fails is an error.

    Commands that are only ours run in this process, which has torch loaded already.
    """
    commands = list(commands_in(text))
    for words in commands:
        check_ends_soon(words)
    if all(words[0].removeprefix(".venv/bin/") == "qstar" for words in commands):
        return "".join(run_qstar(words[1:]) for words in commands)
    if "curl " in text and not shutil.which("curl"):
        pytest.skip("there is no curl on this machine")
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_qstar(arguments: list[str]) -> str:
    """What `qstar ARGUMENTS` prints."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_exception_of_the_readme_is_needed() -> None:
    blocks = blocks_of("README.md")
    for start in NOT_RUN:
        assert [block for block in blocks if block.text.startswith(start)], start

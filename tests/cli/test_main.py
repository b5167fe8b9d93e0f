"""The command group: commands are found without importing them, and errors are one line."""

import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from qstar_infer.cli import lazy, main
from qstar_infer.config import parse_speculation
from qstar_infer.errors import CheckpointError, ConfigError

runner = CliRunner()


def test_help_names_every_command_with_a_summary() -> None:
    result = runner.invoke(main.app, ["--help"])
    assert result.exit_code == 0
    for name, target in main.COMMANDS.items():
        assert name in result.stdout
        assert lazy.summary_of(target), f"{target} has no docstring to show"


@pytest.mark.parametrize("command", [[], ["generate"], ["chat"], ["bench", "decode"]])
def test_help_does_not_import_torch(command: list[str]) -> None:
    code = (
        "import sys, contextlib\n"
        "from qstar_infer.cli.main import app\n"
        f"with contextlib.suppress(SystemExit): app({[*command, '--help']})\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()


def test_version() -> None:
    result = runner.invoke(main.app, ["--version"])
    assert result.stdout == f"qstar {metadata.version('qstar')}\n"


def test_unknown_command_suggests_a_similar_one() -> None:
    result = runner.invoke(main.app, ["genrate"])
    assert result.exit_code == 2
    assert "'generate'" in result.stderr


@pytest.mark.parametrize("place", [[], ["generate", "x"], ["inspect", "a"], ["bench"]])
@pytest.mark.parametrize("dashes", ["", "--"])
def test_a_wrong_argument_does_not_control_the_terminal(place: list[str], dashes: str) -> None:
    wrong = f"{dashes}a\x1b[2J\x9b\u202eb\u2066"
    result = runner.invoke(main.app, [*place, wrong])
    assert result.exit_code == 2
    assert "u202e" in result.stderr
    assert not set("\x1b\x9b\u202e\u2066") & set(result.stderr)


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_each_command_loads_and_shows_its_help(name: str) -> None:
    result = runner.invoke(main.app, [name, "--help"])
    assert result.exit_code == 0, result.output


def test_project_error_is_one_line_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise CheckpointError("no config.json in /m; name a checkpoint directory")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as exit_info:
        main.main()
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == ("error: no config.json in /m; name a checkpoint directory\n")


def test_extension_cannot_replace_a_command_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "extension_targets", lambda: [("chat", "x:y"), ("more", "x:y")])
    commands = list(lazy.lazy_commands({"chat": "qstar_infer.cli.chat:chat"}))
    assert [command.name for command in commands] == ["chat", "more"]


def test_broken_extension_is_reported_with_the_cause() -> None:
    with pytest.raises(ConfigError, match="'more' .* cannot be loaded"):
        lazy.load_command("more", "qstar_infer_missing:more")


@pytest.mark.parametrize(("value", "parsed"), [("auto", "auto"), ("off", "off"), ("3", 3)])
def test_speculation(value: str, parsed: str | int) -> None:
    assert parse_speculation(value) == parsed


@pytest.mark.parametrize("value", ["-1", "on", "", "1.5"])
def test_other_speculation_values_are_rejected(value: str) -> None:
    with pytest.raises(ConfigError, match="speculation"):
        parse_speculation(value)


def test_messages_of_libraries_do_not_control_the_terminal() -> None:
    """A library has handlers of its own, and quotes the values of a checkpoint's files."""
    code = """
import logging, warnings
from qstar_infer.cli import main

def app():
    logger = logging.getLogger("library")
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    logger.warning("unknown rope_type %s", "a\\x1b[2J\\u202e")
    logging.getLogger("other").warning("unknown %s", "a\\x1b[2J\\nERROR forged")
    warnings.warn("odd \\x1b[2J\\u202e")

main.app = app
main.main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    first, second, third, *_ = result.stderr.decode().splitlines()
    assert first == "unknown rope_type a␛[2J\\u202e"
    assert second == "unknown a␛[2J↵ERROR forged"
    assert third.endswith("UserWarning: odd ␛[2J\\u202e")

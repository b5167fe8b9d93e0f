"""Each engine setting can be given on the command line, in the environment and by name."""

from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from qstar_infer.cli.bench.app import app as bench_app
from qstar_infer.cli.chat import chat
from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.generate import generate
from qstar_infer.config import EngineConfig
from qstar_infer.engine_args import EngineArgs, setting_help, setting_types
from qstar_infer.errors import ConfigError

runner = CliRunner()

SPECIAL_VALUES: dict[str, Any] = {
    "speculation": 3,
    "thought_vectors": "literal",
    "generation_config": "none",
    "ignore_thought_parts": True,
    "prefix_caching": False,
    "runner": "llama.cpp",
}
"""Values for settings that do not accept any string or any number."""


def example(name: str) -> Any:
    """A valid value of the setting that is not its default."""
    is_number = setting_types()[name] in (int, int | None)
    return SPECIAL_VALUES.get(name, 7 if is_number else "word")


def read(args: EngineArgs, name: str) -> Any:
    return getattr(args.engine if hasattr(EngineConfig(), name) else args, name)


def run(line: list[str], env: dict[str, str] | None = None) -> EngineArgs:
    """The settings that a command receives."""
    app = typer.Typer(pretty_exceptions_enable=False)
    received: list[EngineArgs] = []

    @app.command()
    @with_engine_options
    def command(*, engine_args: EngineArgs) -> None:
        received.append(engine_args)

    result = runner.invoke(app, line, env=env)
    if result.exception is not None:
        raise result.exception
    return received[0]


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def words(name: str, value: Any) -> list[str]:
    """The setting on a command line."""
    if isinstance(value, bool):
        return [option(name) if value else "--no-" + name.replace("_", "-")]
    return [option(name), str(value)]


def test_without_options_every_setting_has_its_default() -> None:
    assert run([]) == EngineArgs()


@pytest.mark.parametrize("name", setting_types())
def test_each_setting_can_be_given_in_three_ways(name: str) -> None:
    value = example(name)
    expected = EngineArgs.of(**{name: value})
    assert read(expected, name) == value != read(EngineArgs(), name)
    assert run(words(name, value)) == expected
    assert run([], {f"QSTAR_{name.upper()}": str(value)}) == expected


def test_command_line_wins_over_the_environment() -> None:
    env = {"QSTAR_MAX_NUM_SEQS": "5", "QSTAR_MAX_QUEUE": "6"}
    args = run(["--max-num-seqs", "7"], env)
    assert (args.engine.max_num_seqs, args.engine.max_queue) == (7, 6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--max-num-seqs", "0"], "max_num_seqs must be an integer of at least 1, got 0"),
        (["--speculation", "on"], 'speculation must be "auto", "off" or a number of tokens'),
        (["--generation-config", "x"], "generation_config must be one of auto, none, got 'x'"),
        (["--served-model-name", ""], "served_model_name must be a text that can be printed, got"),
    ],
)
def test_value_out_of_range_is_a_config_error(line: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(line)


def test_model_may_be_a_positional() -> None:
    app = typer.Typer()
    received: list[tuple[str | None, EngineArgs]] = []

    @app.command()
    @with_engine_options
    def serve(model: str | None = typer.Argument(None), *, engine_args: EngineArgs) -> None:
        received.append((model, engine_args))

    runner.invoke(app, ["org/name"], env={"QSTAR_MODEL": "other"})
    runner.invoke(app, [], env={"QSTAR_MODEL": "other"})
    assert received == [
        ("org/name", EngineArgs(model="org/name")),
        (None, EngineArgs(model="other")),
    ]
    assert runner.invoke(app, ["--model", "x"]).exit_code == 2


def test_parameter_of_a_command_does_not_set_an_engine_setting() -> None:
    """`num_thought_tokens` of `qstar generate` is the request's."""
    app = typer.Typer()
    received: list[tuple[int, EngineArgs]] = []

    @app.command()
    @with_engine_options
    def command(*, num_thought_tokens: int = 0, engine_args: EngineArgs) -> None:
        received.append((num_thought_tokens, engine_args))

    runner.invoke(app, ["--num-thought-tokens", "3"], env={"QSTAR_NUM_THOUGHT_TOKENS": "5"})
    assert received == [(3, EngineArgs(num_thought_tokens=5))]


BENCHMARKS = get_command(bench_app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", [generate, chat, *BENCHMARKS.values()])
def test_each_command_that_starts_an_engine_has_every_setting(command: Any) -> None:
    app = typer.Typer()
    if command in BENCHMARKS.values():
        parameters = command.params
    else:
        app.command()(command)
        parameters = get_command(app).params
    options = {name for parameter in parameters for name in parameter.opts}
    assert {option(name) for name in setting_types()} <= options


def test_help_shows_defaults_and_text() -> None:
    app = typer.Typer()
    app.command()(generate)
    text = " ".join(runner.invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout.split())
    assert setting_help("max_num_seqs") in text
    assert "[default: (64)]" in text

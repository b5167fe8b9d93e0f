"""Settings come from options, environment and file, in this order; errors name the source."""

from pathlib import Path
from typing import Any

import pytest
import typer
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import changed_settings, unknown_variables, with_settings
from typer.testing import CliRunner

from qstar_infer.engine_args import EngineArgs, setting_types
from qstar_infer.errors import ConfigError

SECRETS = {"api_key", "api_keys"}
VALUES: dict[str, Any] = {
    "otlp_traces_endpoint": "http://localhost:4318/v1/traces",
    "host": "127.0.0.2",
    "port": 9,
    "api_key_file": None,
    "max_requests_per_key": 3,
    "open_metrics": True,
    "insecure": True,
    "allowed_hosts": ("a.lan", "b.lan"),
    "allow_origins": ("http://a", "http://b"),
    "log_level": "warning",
    "log_format": "json",
    "access_log": False,
    "log_requests": True,
    "allow_thoughts": False,
    "ray": True,
    "ray_address": "auto",
}
"""Values that are not the defaults; numbers that are left out become one more."""


def run(*arguments: str) -> tuple[EngineArgs, ServerConfig]:
    """The settings that the command gets."""
    received: list[tuple[EngineArgs, ServerConfig]] = []
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @with_settings
    def command(model: str | None = None, *, engine_args: EngineArgs, config: ServerConfig) -> None:
        del model
        received.append((engine_args, config))

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return received[0]


def write(directory: Path, text: str) -> str:
    path = directory / "settings.yaml"
    path.write_text(text)
    return str(path)


def example(name: str, directory: Path) -> Any:
    """A value that is not the default."""
    if name == "api_key_file":
        path = directory / "keys"
        path.write_text("k\n")
        return path
    if name == "reasoning_efforts":
        return {"low": 0.125}
    default = ServerConfig.model_fields[name].default
    return VALUES[name] if name in VALUES else 1 if default is None else default + 1


def arguments_for(name: str, value: Any) -> list[str]:
    flag = {"allow_origins": "--allow-origin", "allowed_hosts": "--allowed-host"}.get(
        name, "--" + name.replace("_", "-")
    )
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, tuple):
        return [word for each in value for word in (flag, each)]
    return [flag, str(value).replace("'", '"')]


def has_value(config: ServerConfig, name: str, value: Any) -> bool:
    found = getattr(config, name)
    return bool(found["low"] == value["low"] if isinstance(value, dict) else found == value)


SERVER_SETTINGS = sorted(set(ServerConfig.model_fields) - SECRETS)


@pytest.mark.parametrize("name", SERVER_SETTINGS)
def test_every_setting_of_the_server_has_three_sources(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = example(name, tmp_path)
    assert has_value(run(*arguments_for(name, value))[1], name, value)

    text = ",".join(value) if isinstance(value, tuple) else str(value).replace("'", '"')
    is_word = not isinstance(value, dict | bool | int | float)
    file = write(tmp_path, f"{name}: {repr(text) if is_word else text}")
    assert has_value(run("--config", file)[1], name, value)

    monkeypatch.setenv(f"QSTAR_{name.upper()}", text)
    assert has_value(run()[1], name, value)


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "port: 1\nmax_prompts: 1\nmax_num_seqs: 1\nmax_rows: 1\nmax_queue: 1\n")
    monkeypatch.setenv("QSTAR_CONFIG", file)
    for name in ("PORT", "MAX_NUM_SEQS"):
        monkeypatch.setenv(f"QSTAR_{name}", "2")
    monkeypatch.setenv("QSTAR_MAX_ROWS", "2")
    engine_args, config = run("--port", "3", "--max-num-seqs", "3")
    assert (config.port, config.max_prompts) == (3, 1)
    limits = engine_args.engine
    assert (limits.max_num_seqs, limits.max_rows, limits.max_queue) == (3, 2, 1)


def test_the_option_names_another_file_than_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_CONFIG", "/nowhere")
    assert run("--config", write(tmp_path, "port: 1"))[1].port == 1


def test_every_engine_setting_may_be_in_the_file(tmp_path: Path) -> None:
    special = {"runner": "llama.cpp", "thought_vectors": "literal", "generation_config": "none"}
    lines = []
    for name, kind in setting_types().items():
        value = "yes" if kind is bool else "7" if kind in (int, int | None) else "word"
        lines.append(f"{name}: {'3' if name == 'speculation' else special.get(name, value)}")
    engine_args, _ = run("--config", write(tmp_path, "\n".join(lines)))
    unchanged = {"prefix_caching"}  # on by default
    assert set(changed_settings(engine_args, ServerConfig())) == set(setting_types()) - unchanged


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prt: 1", "'prt' is not a setting; did you mean port?"),
        ("engine: {}", "'engine' is not a setting"),
        ("1: 2", "'1' is not a setting"),
        ("port: 70000", "port: Input should be less than or equal to 65535, got 70000"),
        ("port: true", "port cannot be true or false"),
        ("port: [1]", "port: Input should be a valid integer"),
        ("speculation: off", "speculation cannot be true or false.*quotation marks"),
        ("max_num_seqs: 0", "settings.yaml: max_num_seqs must be an integer of at least 1"),
        ("max_num_seqs: many", "settings.yaml: max_num_seqs must be an integer"),
        ("dtype: 32", "dtype must be a text, got 32"),
        ("allow_origins: localhost", "is not an origin"),
        ("api_keys: 'a b'", "may hold only printable ASCII"),
        ("port: 1\nport: 2", "sets 'port' twice"),
        ("- port", "must hold `name: value` lines, not a list"),
        ("port: {", "is not YAML"),
        ("port: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("log_level: loud", "log_level: Input should be 'debug', 'info'.*got 'loud'"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        run("--config", write(tmp_path, text))
    assert "settings" in str(raised.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="/nowhere cannot be read"):
        run("--config", "/nowhere")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("QSTAR_PORT", "tcp://10.0.0.1:80", "QSTAR_PORT: Input should be a valid integer"),
        ("QSTAR_MAX_NUM_SEQS", "x", "QSTAR_MAX_NUM_SEQS must be an integer"),
        ("QSTAR_REASONING_EFFORTS", "{", "reasoning_efforts.*must be JSON"),
        ("QSTAR_API_KEY", "", "QSTAR_API_KEY: an API key is empty"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=message):
        run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "^--port: Input should be less than"),
        (["--allow-origin", "x"], "^--allow-origin: 'x' is not an origin"),
        (["--reasoning-efforts", "{"], "^--reasoning-efforts must be JSON"),
        (
            ["--ray-min-replicas", "3", "--ray-max-replicas", "2"],
            "^--ray-max-replicas: 2 is less than ray_min_replicas, which is 3",
        ),
    ],
)
def test_what_is_wrong_in_an_option_names_the_option(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_a_key_has_no_option() -> None:
    """Other users of a machine can read its command lines."""
    for flag in ("--api-key", "--api-keys"):
        with pytest.raises(AssertionError, match="No such option"):
            run(flag, "secret")


def test_what_is_printed_at_start_has_no_key(tmp_path: Path) -> None:
    file = write(tmp_path, "api_keys: [sk-secret-1, sk-secret-2]\nport: 9")
    changed = changed_settings(*run("--config", file, "--max-num-seqs", "3"))
    assert changed.keys() == {"api_keys", "port", "max_num_seqs"}
    assert changed["api_keys"] == KeyRing.of(["sk-secret-1", "sk-secret-2"])
    assert "secret" not in repr(changed)
    assert changed_settings(*run()) == {}


def test_variables_that_are_no_settings_are_found() -> None:
    environ = {
        "QSTAR_PORT": "1",
        "QSTAR_MAX_NUM_SEQ": "8",
        "QSTAR_CONFIG": "x",
        "QSTAR_CACHE": "y",
        "PATH": "z",
    }
    assert unknown_variables(environ) == ["QSTAR_MAX_NUM_SEQ"]

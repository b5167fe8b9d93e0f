"""`qstar serve`: options and what it says."""

import dataclasses
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import qstar_server.cli as cli
import typer
from qstar_server.settings import Settings
from typer.testing import CliRunner

from qstar_infer.engine.protocol import Engine
from tests.server.fake_engine import FakeEngine

Run = tuple[dict[str, Any], Settings]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> tuple[typer.Typer, list[Run]]:
    """The command, and what each run gave the engine and the server."""
    runs: list[Run] = []

    def start_engine(source: str | None, **options: Any) -> Engine:
        runs[-1][0].update({"source": source} | options)
        return engine

    def run_server(load_engine: Callable[[], Engine], settings: Settings) -> None:
        runs.append(({}, settings))
        load_engine()

    start = types.SimpleNamespace(start_engine=start_engine)
    monkeypatch.setitem(sys.modules, "qstar_infer.engine.start", start)  # type: ignore[arg-type]
    monkeypatch.setattr(cli, "run_server", run_server)
    app = typer.Typer()
    app.command("serve")(cli.serve)
    return app, runs


def test_without_options_the_default_model_is_served_locally(
    app: tuple[typer.Typer, list[Run]],
) -> None:
    assert CliRunner().invoke(app[0], []).exit_code == 0
    options, settings = app[1][0]
    assert options == {
        "source": None,
        "dtype": "auto",
        "device": "auto",
        "quantization": "none",
        "revision": None,
        "num_thought_tokens": None,
        "speculation": "auto",
        "served_model_name": None,
        "max_model_len": None,
        "max_num_seqs": None,
        "max_queue": None,
    }
    assert (settings.host, settings.port, settings.allow_thoughts) == ("127.0.0.1", 8000, True)


def test_options_reach_the_engine_and_the_settings(app: tuple[typer.Typer, list[Run]]) -> None:
    arguments = "path --port 9 --host 0.0.0.0 --dtype float32 --device cpu --speculation 3"
    arguments += " --served-model-name m --max-model-len 64 --max-num-seqs 2 --max-queue 0"
    arguments += " --no-allow-thoughts --quantization int8 --revision v1 --num-thought-tokens 6"
    result = CliRunner().invoke(app[0], arguments.split())
    assert result.exit_code == 0, result.output
    options, settings = app[1][0]
    assert options == {
        "source": "path",
        "dtype": "float32",
        "device": "cpu",
        "quantization": "int8",
        "revision": "v1",
        "num_thought_tokens": 6,
        "speculation": 3,
        "served_model_name": "m",
        "max_model_len": 64,
        "max_num_seqs": 2,
        "max_queue": 0,
    }
    assert (settings.host, settings.port, settings.allow_thoughts) == ("0.0.0.0", 9, False)


def test_the_environment_sets_what_no_option_does(
    app: tuple[typer.Typer, list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_PORT", "1234")
    monkeypatch.setenv("QSTAR_HOST", "::1")
    CliRunner().invoke(app[0], ["--host", "127.0.0.2"])
    assert (app[1][0][1].host, app[1][0][1].port) == ("127.0.0.2", 1234)


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--max-num-seqs", "0"]])
def test_an_unsafe_value_refuses_to_start(
    app: tuple[typer.Typer, list[Run]], arguments: list[str]
) -> None:
    assert CliRunner().invoke(app[0], arguments).exit_code == 2
    assert app[1] == []


def test_the_ready_line_names_and_describes_the_model() -> None:
    engine = FakeEngine()
    model = dataclasses.replace(engine.model, description="Toy, thinks")
    engine.close()
    assert cli.ready_line(model, host="127.0.0.1", port=8000) == (
        "Serving fake/thinker at http://127.0.0.1:8000/v1 - Toy, thinks."
    )

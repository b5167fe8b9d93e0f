"""`qstar serve`: its options, and the engine and server that they make."""

import dataclasses
import logging
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import qstar_server.cli as cli
import typer
from pydantic import ValidationError
from qstar_server.app import create_app
from qstar_server.http.hosts import url_host
from qstar_server.process.lifecycle import DrainingServer, ready_line
from qstar_server.process.listener import bind_sockets
from qstar_server.settings.config import ServerConfig
from typer.testing import CliRunner

from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs, setting_types
from tests.server.fake_engine import FakeEngine
from tests.server.live_server import wait_until
from tests.server.real_engine import save_toy


@dataclasses.dataclass
class Runs:
    """The command, and what its last run made."""

    app: typer.Typer
    config: ServerConfig | None = None
    engine: Engine | None = None

    def run(self, *arguments: str) -> None:
        """Run the command, which must succeed."""
        result = CliRunner().invoke(self.app, arguments)
        assert result.exit_code == 0, result.output


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """`qstar serve`, which loads its engine and does not go on to serve."""
    app = typer.Typer()
    app.command("serve")(cli.serve)
    runs = Runs(app)

    def run_server(
        load_engine: Callable[[], Engine], config: ServerConfig, *, announce: object
    ) -> None:
        assert callable(announce)
        runs.config, runs.engine = config, load_engine()

    monkeypatch.setattr(cli, "run_server", run_server)
    return runs


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> list[EngineArgs]:
    """What engines were created from; the fake engine stands for each."""
    created: list[EngineArgs] = []

    def create_async_engine(args: EngineArgs) -> Engine:
        created.append(args)
        return engine

    module = types.SimpleNamespace(create_async_engine=create_async_engine)
    monkeypatch.setitem(sys.modules, "qstar_infer.engine.create", module)
    return created


def test_without_options_the_default_model_is_served_locally(
    runs: Runs, created: list[EngineArgs]
) -> None:
    runs.run()
    assert created == [EngineArgs()]
    assert runs.config == ServerConfig(host="127.0.0.1", port=8000, allow_thoughts=True)


def test_every_engine_setting_is_an_option(runs: Runs, created: list[EngineArgs]) -> None:
    settings = {
        "runner": "llama.cpp",
        "dtype": "float32",
        "device": "cpu",
        "tensor_parallel_size": 2,
        "threads": 4,
        "quantization": "int8",
        "revision": "v1",
        "num_thought_tokens": 6,
        "thought_vectors": "literal",
        "tokenizer": "elsewhere",
        "ignore_thought_parts": True,
        "generation_config": "none",
        "served_model_name": "m",
        "speculation": 3,
        "block_size": 8,
        "num_blocks": 99,
        "max_model_len": 64,
        "max_num_seqs": 2,
        "max_queue": 0,
        "max_queued_tokens": 88,
        "max_rows": 77,
        "max_prefill_rows": 7,
        "prefix_caching": False,
        "max_drafts": 5,
        "scoring_positions": 9,
        "max_thought_tokens": 10,
    }
    assert set(settings) | {"model"} == set(setting_types())
    options = [_option_of(name, value) for name, value in settings.items()]
    runs.run("path", *options)
    assert created == [EngineArgs.of(model="path", **settings)]


def test_server_options_reach_the_server(runs: Runs, created: list[EngineArgs]) -> None:
    runs.run("--port", "9", "--host", "0.0.0.0", "--no-allow-thoughts")
    assert runs.config == ServerConfig(host="0.0.0.0", port=9, allow_thoughts=False)
    assert created == [EngineArgs()]


def test_the_environment_sets_what_no_option_does(
    runs: Runs, created: list[EngineArgs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSTAR_PORT", "1234")
    monkeypatch.setenv("QSTAR_HOST", "::1")
    monkeypatch.setenv("QSTAR_MAX_NUM_SEQS", "5")
    monkeypatch.setenv("QSTAR_MAX_QUEUE", "6")
    runs.run("--host", "127.0.0.2", "--max-queue", "7")
    assert runs.config is not None
    assert (runs.config.host, runs.config.port) == ("127.0.0.2", 1234)
    assert created == [EngineArgs.of(max_num_seqs=5, max_queue=7)]


@pytest.mark.parametrize(
    "arguments",
    [["--port", "70000"], ["--max-num-seqs", "0"], ["--speculation", "-1"], ["--dtype"]],
)
def test_an_invalid_value_refuses_to_start(
    runs: Runs, created: list[EngineArgs], arguments: list[str]
) -> None:
    assert CliRunner().invoke(runs.app, arguments).exit_code != 0
    assert (created, runs.config) == ([], None)


def test_options_reach_the_real_engine(runs: Runs, tmp_path: Path) -> None:
    """The stub that stood for it pinned its own keyword arguments, not the engine's."""
    directory = save_toy(tmp_path / "toy")
    runs.run(
        str(directory),
        "--device=cpu",
        "--dtype=float32",
        "--served-model-name=m",
        "--max-model-len=64",
        "--max-thought-tokens=5",
        "--num-thought-tokens=2",
        "--num-blocks=32",
    )
    assert runs.engine is not None
    model = runs.engine.model
    runs.engine.close()
    assert (model.name, model.max_model_len) == ("m", 64)
    assert (model.num_thought_tokens, model.max_thought_tokens) == (2, 5)


def test_the_ready_line_names_and_describes_the_model(engine: FakeEngine) -> None:
    model = dataclasses.replace(engine.model, description="Toy, thinks")
    assert ready_line(model, url="http://127.0.0.1:8000") == (
        "Serving fake/thinker at http://127.0.0.1:8000/v1 - Toy, thinks."
    )


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("my-host.lan", "my-host.lan"),
        ("::1", "[::1]"),
        ("2001:db8::2", "[2001:db8::2]"),
        ("fe80::1%eth0", "[fe80::1%25eth0]"),
        ("::ffff:127.0.0.1", "[::ffff:7f00:1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("0:0:0:0:0:0:0:0", "[::1]"),
    ],
)
def test_the_url_of_an_address_can_be_opened(host: str, shown: str) -> None:
    assert url_host(host) == shown
    url = httpx.URL(f"http://{shown}:8000/v1")
    assert url.port == 8000


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "0.0.0.0", "0", "", "localhost"])
def test_the_announced_url_answers(engine: FakeEngine, host: str) -> None:
    """`--host ::1` printed a URL without brackets, which no client can parse."""
    config = ServerConfig(host=host, port=0, drain_grace_s=0.2, shutdown_grace_s=1)
    lines: list[str] = []
    app = create_app(lambda: engine, config)
    server = DrainingServer(app, app.state.engine_slot, config, announce=lines.append)
    sockets = bind_sockets(host.strip("[]"), 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, daemon=True)
    thread.start()
    wait_until(lambda: bool(lines))
    url = lines[0].split()[3]
    try:
        assert httpx.get(f"{url}/models").status_code == 200, url
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        (["http://localhost:3000"], ("http://localhost:3000",)),
        (["https://A.example/, http://[::1]:80"], ("https://a.example", "http://[::1]")),
        (["https://a.example:443", "https://a.example"], ("https://a.example",)),
        (["tauri://localhost", "null", "*"], ("tauri://localhost", "null", "*")),
        ([""], ()),
    ],
)
def test_origins_are_given_one_by_one_or_with_commas(
    runs: Runs,
    created: list[EngineArgs],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    origins: tuple[str, ...],
) -> None:
    runs.run(*(word for each in given for word in ("--allow-origin", each)))
    assert runs.config is not None
    assert runs.config.allow_origins == origins
    monkeypatch.setenv("QSTAR_ALLOW_ORIGINS", ",".join(given))
    runs.run()
    assert runs.config.allow_origins == origins
    assert created == [EngineArgs()] * 2


@pytest.mark.parametrize(
    "origin",
    [
        "localhost:3000",
        "localhost",
        "http://",
        "http://a/path",
        "http://a?b",
        "http://user@a",
        "http://a:port",
        "http://*.example",
        "http://a b",
        "http://bücher.example",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin; give scheme://host"):
        ServerConfig(allow_origins=(origin,))


def test_lines_of_the_server_control_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's name, or a field's, could hold an escape sequence."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])

    def serve_at_once(*_: object, announce: Callable[[str], None]) -> None:
        announce("Serving a\x1b]0;title\x07")
        logging.getLogger("qstar_server").warning("unknown field %s", "b\x1b[2J\nERROR forged")

    monkeypatch.setattr(cli, "run_server", serve_at_once)
    app = typer.Typer()
    app.command()(cli.serve)
    level = root.level
    try:
        app(["--log-level", "warning"], standalone_mode=False)
    finally:
        root.setLevel(level)
        for name in ("qstar_infer", "qstar_server"):
            logging.getLogger(name).setLevel(logging.NOTSET)
        logging.captureWarnings(False)
    written = capsys.readouterr()
    assert written.out == "Serving a␛]0;title␇\n"
    time, _, line = written.err.partition(" ")
    assert time.endswith("Z")
    assert line == "WARNING qstar_server: unknown field b␛[2J↵ERROR forged\n"


def _option_of(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"

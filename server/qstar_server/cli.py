"""`qstar serve`."""

import contextlib
import logging
import signal
from typing import Annotated

import typer
from pydantic import ValidationError

from qstar_infer.engine.protocol import Engine, ModelInfo
from qstar_infer.errors import QStarError
from qstar_server.app import create_app
from qstar_server.engine_loader import EngineOptions, Speculation, load_engine
from qstar_server.settings import Settings
from qstar_server.uvicorn_server import DrainingServer
from qstar_server.validation import describe_validation_error


def serve(
    model: Annotated[
        str | None,
        typer.Argument(help="Checkpoint directory or name; without it the default model."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on.", show_default="QSTAR_HOST or 127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port.", show_default="QSTAR_PORT or 8000")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")] = "auto",
    speculation: Annotated[
        str, typer.Option(help="How far drafts run ahead: auto, off or a number of tokens.")
    ] = "auto",
    served_model_name: Annotated[
        str | None, typer.Option(help="The model's name in requests; by default its own.")
    ] = None,
    max_model_len: Annotated[
        int | None, typer.Option(min=2, help="Most visible tokens, prompt and output together.")
    ] = None,
    max_num_seqs: Annotated[
        int | None, typer.Option(min=1, help="Most sequences that run at once.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option(min=0, help="Most sequences that wait; more are answered 429.")
    ] = None,
    allow_thoughts: Annotated[
        bool | None,
        typer.Option(
            help="Whether requests may see thoughts.", show_default="QSTAR_ALLOW_THOUGHTS or yes"
        ),
    ] = None,
) -> None:
    """Serve a model over an OpenAI-style HTTP API."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = _settings({"host": host, "port": port, "allow_thoughts": allow_thoughts})
    options = EngineOptions(
        source=model,
        dtype=dtype,
        device=device,
        speculation=_speculation(speculation),
        served_model_name=served_model_name,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_queue=max_queue,
    )
    if not _run(options, settings):
        raise typer.Exit(1)


def _speculation(text: str) -> Speculation:
    words: dict[str, Speculation] = {"auto": "auto", "off": "off"}
    if text in words:
        return words[text]
    if text.isascii() and text.isdecimal():
        return int(text)
    raise typer.BadParameter("must be auto, off or a number", param_hint="--speculation")


def _settings(given: dict[str, str | int | None]) -> Settings:
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        message, _ = describe_validation_error(error)
        raise typer.BadParameter(message) from None


def _run(options: EngineOptions, settings: Settings) -> bool:
    """Serve until a signal. False if the model could not be loaded."""
    has_failed = False

    def load() -> Engine:
        nonlocal has_failed
        try:
            engine = load_engine(options)
        except Exception as error:
            has_failed = True
            if isinstance(error, QStarError):
                typer.echo(f"The model could not be loaded: {error}", err=True)
            server.should_exit = True
            raise
        typer.echo(ready_line(engine.model, settings))
        return engine

    app = create_app(load, settings)
    server = DrainingServer(app, app.state.engine_slot, settings)
    # uvicorn raises the signal that stopped it again, under the handlers it found. A stop that was
    # asked for is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return not has_failed


def ready_line(model: ModelInfo, settings: Settings) -> str:
    """What `qstar serve` says when it is ready."""
    url = f"http://{settings.host}:{settings.port}/v1"
    return f"Serving {model.name} at {url} - {model.description}."

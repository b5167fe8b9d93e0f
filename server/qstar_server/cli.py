"""`qstar serve`: the options, the engine and the web server, from start to stop."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Callable
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from qstar_infer.config import parse_speculation
from qstar_infer.engine.protocol import Engine, ModelInfo
from qstar_infer.errors import EngineDeadError, QStarError
from qstar_server.app import create_app
from qstar_server.engine_slot import EngineSlot
from qstar_server.errors import describe_validation_error
from qstar_server.settings import Settings

logger = logging.getLogger(__name__)


def serve(
    model: Annotated[
        str | None,
        typer.Argument(help="Checkpoint directory or hub id; without it the default model."),
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
    quantization: Annotated[str, typer.Option(help="none, int8 or nf4.")] = "none",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub repository.")
    ] = None,
    num_thought_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens per thought, in place of the checkpoint's number."),
    ] = None,
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
    depth = parse_speculation(speculation)

    def load() -> Engine:
        # Not at the top: it brings torch, and `qstar serve --help` must not wait for that.
        from qstar_infer.engine.start import start_engine

        return start_engine(
            model,
            dtype=dtype,
            device=device,
            quantization=quantization,
            revision=revision,
            num_thought_tokens=num_thought_tokens,
            speculation=depth,
            served_model_name=served_model_name,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_queue=max_queue,
        )

    failure = run_server(load, settings)
    if isinstance(failure, EngineDeadError):
        # Not 2, which is a mistake of the user: whoever started the server should start it again.
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1)
    if isinstance(failure, QStarError):
        raise failure
    if failure is not None:
        raise typer.Exit(1)


def _settings(given: dict[str, str | int | None]) -> Settings:
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        message, _ = describe_validation_error(error)
        raise typer.BadParameter(message) from None


def run_server(load_engine: Callable[[], Engine], settings: Settings) -> Exception | None:
    """Serve until a signal, or until the engine fails to load or dies: then why."""
    app = create_app(load_engine, settings)
    slot: EngineSlot = app.state.engine_slot
    # uvicorn raises the signal that stopped it again, under the handlers it found. A stop that was
    # asked for is a success.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server = DrainingServer(app, slot, settings)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if server.has_lost_engine:
        return EngineDeadError(
            "the engine has died, and the server stopped since it could answer nothing more; "
            "the log above says of what. Start it again"
        )
    return slot.failure


def ready_line(model: ModelInfo, *, host: str, port: int) -> str:
    """What `qstar serve` says when it is ready."""
    return f"Serving {model.name} at http://{host}:{port}/v1 - {model.description}."


class DrainingServer(uvicorn.Server):
    """A web server that says when it is ready, stops once its engine fails to load or dies, and
    shuts down in three steps.

    New requests are refused at once. Open ones have `drain_grace_s` to finish; then the engine is
    closed, which ends them with an error. `shutdown_grace_s` later uvicorn drops what is left.

    Attributes:
        has_lost_engine: it stopped because the engine died.
    """

    def __init__(self, app: ASGIApp, slot: EngineSlot, settings: Settings) -> None:
        grace_s = math.ceil(settings.drain_grace_s + settings.shutdown_grace_s)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                lifespan="on",
                server_header=False,
                # The server says itself when it is ready; a line a request would drown the rest.
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._slot = slot
        self._drain_grace_s = settings.drain_grace_s
        self._is_ready = False
        self.has_lost_engine = False

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second, once the sockets are open; True stops the server."""
        engine = self._slot.engine
        if engine is not None and not self._is_ready:
            self._is_ready = True
            # The socket's own port: where port 0 was asked for, the system has chosen one.
            port = self.servers[0].sockets[0].getsockname()[1]
            typer.echo(ready_line(engine.model, host=self.config.host, port=port))
        if await super().on_tick(counter):
            return True
        self.has_lost_engine = self._slot.has_died
        return self.has_lost_engine or self._slot.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, close the engine, stop."""
        self._slot.start_draining()
        closing = asyncio.create_task(self._close_engine_later())
        await super().shutdown(sockets)
        closing.cancel()

    async def _close_engine_later(self) -> None:
        await asyncio.sleep(self._drain_grace_s)
        logger.warning("closing the engine: requests are still open after the drain time")
        await asyncio.to_thread(self._slot.close)

"""`qstar serve`: the command and its options."""

import logging
from contextlib import suppress
from typing import Annotated

import typer
from pydantic import ValidationError

from qstar_infer.cli.engine_options import with_engine_options
from qstar_infer.cli.streams import OutputError
from qstar_infer.cli.terminal import printable
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import EngineDeadError, QStarError
from qstar_server.config import LogFormat, LogLevel, ServerConfig
from qstar_server.errors import describe_validation_error
from qstar_server.lifecycle import run_server
from qstar_server.logging_setup import set_up_logging

logger = logging.getLogger(__name__)

_LogLevel = Annotated[
    LogLevel | None,
    typer.Option(help="Least severe lines of the log.", show_default="QSTAR_LOG_LEVEL or info"),
]
_LogFormat = Annotated[
    LogFormat | None,
    typer.Option(
        help="Form of the log: text, or a JSON object on each line.",
        show_default="QSTAR_LOG_FORMAT or text",
    ),
]
_AccessLog = Annotated[
    bool | None,
    typer.Option(
        help="Whether each request leaves a line in the log.",
        show_default="QSTAR_ACCESS_LOG or yes",
    ),
]
_LogRequests = Annotated[
    bool | None,
    typer.Option(
        help="Whether the log has prompts and outputs.", show_default="QSTAR_LOG_REQUESTS or no"
    ),
]


@with_engine_options
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="lab (the packaged lab model), a checkpoint directory, a .gguf file or a hub id; "
            "without it, the default model."
        ),
    ] = None,
    *,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on.", show_default="QSTAR_HOST or 127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port.", show_default="QSTAR_PORT or 8000")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Web page that may use the API from a browser, such as http://localhost:3000; "
            "* is all. Can be given several times.",
            show_default="QSTAR_ALLOW_ORIGINS or none",
        ),
    ] = None,
    allow_thoughts: Annotated[
        bool | None,
        typer.Option(
            help="Whether requests may see thoughts.", show_default="QSTAR_ALLOW_THOUGHTS or yes"
        ),
    ] = None,
    log_level: _LogLevel = None,
    log_format: _LogFormat = None,
    access_log: _AccessLog = None,
    log_requests: _LogRequests = None,
    engine_args: EngineArgs,
) -> None:
    """Serve a model over an OpenAI-style HTTP API."""
    del model  # part of engine_args
    config = _server_config(
        host=host,
        port=port,
        allow_origins=allow_origin,
        allow_thoughts=allow_thoughts,
        log_level=log_level,
        log_format=log_format,
        access_log=access_log,
        log_requests=log_requests,
    )
    log = set_up_logging(level=config.log_level, log_format=config.log_format)
    logger.info("loading %s", engine_args.model or "the default model")

    def load() -> Engine:
        # Not at the top: it imports torch, and `qstar serve --help` must not wait for that.
        from qstar_infer.engine.create import create_async_engine

        return create_async_engine(engine_args)

    failure = run_server(load, config, announce=_announce)
    log.flush()
    _exit_on_failure(failure)


def _announce(line: str) -> None:
    """Print a line. The server serves, even if nobody can read it."""
    with suppress(OutputError):
        typer.echo(printable(line))


def _server_config(**given: object) -> ServerConfig:
    try:
        return ServerConfig(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        message, _ = describe_validation_error(error)
        raise typer.BadParameter(message) from None


def _exit_on_failure(failure: Exception | None) -> None:
    if isinstance(failure, EngineDeadError):
        # Exit status 1: a supervisor should restart the server. 2 is a mistake of the user.
        typer.echo(printable(f"error: {failure}"), err=True)
        raise typer.Exit(1)
    if isinstance(failure, QStarError):
        raise failure
    if failure is not None:
        raise typer.Exit(1)

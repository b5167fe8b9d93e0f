"""`qstar serve`: the command and its options."""

import logging
import os
from contextlib import suppress
from typing import Annotated

import typer

from qstar_infer.cli.streams import OutputError
from qstar_infer.cli.terminal import printable
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import EngineDeadError, QStarError
from qstar_server.process.lifecycle import run_server
from qstar_server.process.load import load_engine
from qstar_server.process.ray_environment import prepare_ray
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import changed_settings, unknown_variables, with_settings
from qstar_server.watching.logging_setup import set_up_logging

logger = logging.getLogger(__name__)


@with_settings
def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="lab (the packaged lab model), a checkpoint directory, a .gguf file or a hub id; "
            "without it, the default model."
        ),
    ] = None,
    *,
    engine_args: EngineArgs,
    config: ServerConfig,
) -> None:
    """Serve a model over an OpenAI-style HTTP API."""
    del model  # part of engine_args
    log = set_up_logging(level=config.log_level, log_format=config.log_format)
    _log_settings(engine_args, config)
    logger.info("loading %s", engine_args.model or "the default model")

    try:
        if config.ray:
            failure = _run_on_ray(engine_args, config)
        else:
            failure = run_server(lambda: load_engine(engine_args), config, announce=_announce)
    finally:
        log.flush()  # an error is the last line
    _exit_on_failure(failure)


def _run_on_ray(engine_args: EngineArgs, config: ServerConfig) -> Exception | None:
    prepare_ray(config.ray_address, os.environ)
    # Not at the top: Ray is an optional package, and reads the environment when it is imported.
    from qstar_server.ray.command import run_on_ray

    return run_on_ray(engine_args, config, announce=_announce)


def _announce(line: str) -> None:
    """Print a line. The server serves, even if nobody can read it."""
    with suppress(OutputError):
        typer.echo(printable(line))


def _log_settings(engine_args: EngineArgs, config: ServerConfig) -> None:
    changed = changed_settings(engine_args, config)
    if changed:
        texts = [f"{name}={value!r}" for name, value in changed.items()]
        logger.info("settings that are not the defaults: %s", ", ".join(texts))
    for name in unknown_variables(os.environ):
        logger.warning("the environment variable %s is not a setting and has no effect", name)


def _exit_on_failure(failure: Exception | None) -> None:
    if isinstance(failure, EngineDeadError):
        # Exit status 1: a supervisor should restart the server. 2 is a mistake of the user.
        typer.echo(printable(f"error: {failure}"), err=True)
        raise typer.Exit(1)
    if isinstance(failure, QStarError):
        raise failure
    if failure is not None:
        raise typer.Exit(1)

"""Starts `qstar serve` in a process of its own, and stops it."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from qstar_infer.engine_args import ENVIRONMENT_PREFIX, EngineArgs
from qstar_infer.errors import ConfigError

_READY = re.compile(r" at (http://\S+/v1) ")
_STOP_TIMEOUT_S = 30.0


@contextmanager
def running_server(args: EngineArgs, *, threads: int | None) -> Iterator[str]:
    """A server with these settings on a free port; gives its URL, which ends in `/v1`.

    Raises:
        ConfigError: it did not start; the message has its last line.
    """
    command = [sys.executable, "-m", "qstar_infer.cli.main", "serve", "--port", "0"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, env=_environment(args, threads), stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # the first is the ready line, or the end
            found = _READY.search(line)
            if found is None:
                process.wait()
                log.seek(0)
                raise ConfigError(f"the server did not start: {_last_line(log.read())}")
            yield found[1]
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _environment(args: EngineArgs, threads: int | None) -> dict[str, str]:
    ours = {
        ENVIRONMENT_PREFIX + name.upper(): str(value)
        for name, value in args.settings().items()
        if value is not None
    }
    more = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    return {**os.environ, **ours, **more, "PYTHONUNBUFFERED": "1"}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it gave no reason"])[-1]

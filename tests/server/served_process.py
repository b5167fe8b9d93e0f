"""`qstar serve` in a process of its own, with an engine that a test chooses by the model's name.

Run as `python -m tests.server.served_process serve MODEL ...`.
"""

import re
import resource
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from qstar_infer.cli.main import main
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError, EngineDeadError
from tests.server.fake_engine import FakeEngine
from tests.server.planted_engine import PLANTED, planted_engine

ROOT = Path(__file__).parents[2]


def serve(
    *arguments: str, stderr: int | IO[Any] = subprocess.PIPE, **options: Any
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.server.served_process", "serve", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        **options,
    )


def with_max_files(count: int) -> Callable[[], None]:
    """For `preexec_fn`: the most open files of the process, as `ulimit -n` sets it."""
    return partial(resource.setrlimit, resource.RLIMIT_NOFILE, (count, count))


def url_of(process: subprocess.Popen[str]) -> str:
    """The base URL that a server names once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    said = re.fullmatch(r"Serving \S+ at (http://127\.0\.0\.1:\d+/v1) - .*\n", line)
    assert said is not None, line
    return said[1]


def _create_async_engine(args: EngineArgs) -> Engine:
    if args.model in PLANTED:
        return planted_engine(args.model)
    if args.model == "broken":
        raise CheckpointError("broken is not a checkpoint")
    if args.model == "slow":
        threading.Event().wait(60)
    if args.model == "bug":
        raise ZeroDivisionError("a bug of ours")
    engine = FakeEngine()
    engine.step_s = 0.02
    if args.model == "mortal":
        threading.Thread(target=_die, args=[engine], daemon=True).start()
    return engine


def _die(engine: FakeEngine) -> None:
    while engine.num_open < 2:
        threading.Event().wait(0.05)
    engine.die(EngineDeadError("device-side assert"))


if __name__ == "__main__":
    create: Any = types.SimpleNamespace(create_async_engine=_create_async_engine)
    sys.modules["qstar_infer.engine.create"] = create
    main()

"""`qstar serve` as a process of its own, with the fake engine.

The model's name chooses what the engine does: "broken" cannot be loaded, "bug" fails to load with
an unexpected error, "slow" loads for a minute, "mortal" dies when it has two requests. The names in
`PLANTED` choose a real engine with a fault.
"""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]

SERVE = """
import sys
import threading
import types
from qstar_infer.cli.main import main
from qstar_infer.errors import CheckpointError, EngineDeadError
from tests.server.fake_engine import FakeEngine
from tests.server.planted_engine import PLANTED, planted_engine

def create_async_engine(args):
    if args.model == "broken":
        raise CheckpointError("broken is not a checkpoint")
    if args.model == "slow":
        threading.Event().wait(60)
    if args.model in PLANTED:
        return planted_engine(args.model)
    if args.model == "bug":
        raise ZeroDivisionError("a bug of ours")
    engine = FakeEngine()
    engine.step_s = 0.02
    if args.model == "mortal":
        threading.Thread(target=die, args=[engine], daemon=True).start()
    return engine

def die(engine):
    while engine.num_open < 2:
        threading.Event().wait(0.05)
    engine.die(EngineDeadError("device-side assert"))

create = types.SimpleNamespace(create_async_engine=create_async_engine)
sys.modules["qstar_infer.engine.create"] = create
main()
"""


def serve(
    *arguments: str,
    max_files: int | None = None,
    stderr: int | IO[Any] | None = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start `qstar serve`.

    Args:
        max_files: its limit of open files, as `ulimit -n` sets it.
        stderr: as of `Popen`; None: closed.
    """

    def prepare() -> None:
        if max_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
        if stderr is None:
            os.close(2)

    return subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", *arguments],
        cwd=ROOT,
        preexec_fn=prepare,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def url_of(process: subprocess.Popen[str]) -> str:
    """The base URL that a server names once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    said = re.fullmatch(r"Serving fake/thinker at (http://127\.0\.0\.1:\d+/v1) - .*\n", line)
    assert said is not None, line
    return said[1]

"""How the engine of a serving process is loaded."""

import subprocess
import sys

_SCRIPT = """
import gc, sys, types
from qstar_infer.engine_args import EngineArgs
from qstar_server.process.load import load_engine

import fastapi  # what a server holds

sys.modules["qstar_infer.engine.create"] = types.SimpleNamespace(create_async_engine=str)
engine = load_engine(EngineArgs.of())
assert engine, "the engine is returned"
print(gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_what_is_loaded_is_no_work_for_the_garbage_collector() -> None:
    """A collection took a quarter of a second, in which every stream stood still."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    num_exempt, num_others = map(int, done.stdout.split())
    assert num_exempt > 10_000
    assert num_others < num_exempt / 50

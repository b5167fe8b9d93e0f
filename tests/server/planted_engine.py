"""Real engines that fail in a way that a test chooses."""

import threading
from typing import Any

from qstar_infer.engine.protocol import Engine
from qstar_infer.step import StepBatch, StepResult
from tests.server.fake_engine import MODEL

PLANTED = {
    "step": "raises an exception in the step",
    "hang": "never returns from the step",
    "exit": "ends its thread",
    "loop": "raises an exception in the loop, at any prompt",
}
"""Names of models with a real engine, and what it does at a prompt with `TRIGGER`."""
TRIGGER = 200


def planted_engine(kind: str) -> Engine:
    """A real engine that fails at a prompt with `TRIGGER`."""
    # Not at the top: the other models need no torch, which takes seconds to import.
    from qstar_infer.engine.async_engine import AsyncEngine
    from qstar_infer.engine.llm_engine import LLMEngine
    from tests.parity.toy import make_toy

    engine = AsyncEngine(LLMEngine(make_toy().model, name=MODEL))
    runner: Any = engine._engine._runner
    run = runner.run

    def planted(batch: StepBatch) -> StepResult:
        if TRIGGER in batch.token_ids:
            if kind == "hang":
                threading.Event().wait()
            if kind == "exit":
                raise SystemExit("a library ends the thread")
            raise ValueError("planted")
        result: StepResult = run(batch)
        return result

    def broken_loop(*_: object) -> None:
        raise ValueError("planted in the loop")

    runner.run = planted
    if kind == "loop":
        vars(engine)["_deliver_all"] = broken_loop
    return engine

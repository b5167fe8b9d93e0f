"""Whether the engine makes tokens: runs one through it, seldom enough to be no load."""

import asyncio
import logging
import time
import uuid

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.errors import QStarError, QueueFullError
from qstar_infer.sampling_params import SamplingParams
from qstar_server.generation.delta_stream import DeltaStream
from qstar_server.http.errors import ApiError, unavailable

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""For the token to arrive."""
FRESH_S = 1.0
"""How long a result holds."""
_POLL_S = 0.02
_MAX_PENDING = 16


class DeepCheck:
    """Checks an engine. Callers at the same time share one check, and its result for a second."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._checked_s = float("-inf")
        self._failure: ApiError | None = None

    async def run(self, engine: Engine) -> None:
        """
        Raises:
            ApiError: 503. The engine gave no token in time, or failed to compute one.
        """
        async with self._turn:
            if time.monotonic() - self._checked_s > FRESH_S:
                self._failure = await _failure_of(engine)
                self._checked_s = time.monotonic()
        if self._failure is not None:
            raise self._failure


async def _failure_of(engine: Engine) -> ApiError | None:
    """None if the engine is well."""
    num_steps = engine.stats().steps
    try:
        async with asyncio.timeout(TIMEOUT_S):
            try:
                await _run_token(engine)
            except QueueFullError:
                # It is busy with others; then it is enough that their steps go on.
                while engine.stats().steps == num_steps:
                    await asyncio.sleep(_POLL_S)
    except TimeoutError:
        if engine.stats().steps == num_steps:
            message = f"The engine has completed no step in {TIMEOUT_S:g} seconds."
            return unavailable(message, code="engine_hangs")
    except QStarError:
        logger.exception("the deep health check failed")
        message = "The engine could not compute a token. The server's log has the reason."
        return unavailable(message, code="engine_fails", retry=False)
    return None


async def _run_token(engine: Engine) -> None:
    prompt = engine.encode("a") or [0]
    params = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True)
    request = EngineRequest(
        request_id=f"health-{uuid.uuid4().hex}",
        prompt_token_ids=prompt,
        params=params,
        show_thoughts=False,
    )
    admitted = engine.admit(request)
    async with await DeltaStream.open(
        engine,
        [admitted],
        max_pending=_MAX_PENDING,
        timeout_s=2 * TIMEOUT_S,  # the check itself waits less
    ) as deltas:
        async for _ in deltas:
            pass

"""Engine deltas on the event loop."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from qstar_server.generation.delta_stream import DeltaStream
from qstar_server.http.errors import ApiError

from qstar_infer.engine.protocol import AdmittedRequest, EngineRequest, OutputListener
from qstar_infer.errors import EngineDeadError
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.sampling_params import SamplingParams
from tests.server.fake_engine import FakeEngine


def admit(engine: FakeEngine, request_id: str = "r", *, max_tokens: int = 16) -> AdmittedRequest:
    params = SamplingParams(max_tokens=max_tokens)
    return engine.admit(EngineRequest(request_id=request_id, prompt_token_ids=[65], params=params))


def delta(*, finished: bool = False) -> RequestOutput:
    outputs = [CompletionOutput(index=0, text="x", token_ids=[120])]
    return RequestOutput(request_id="r", prompt_token_ids=[65], outputs=outputs, finished=finished)


async def test_deltas_arrive_in_order_and_the_last_ends_the_stream(engine: FakeEngine) -> None:
    stream = await DeltaStream.open(
        engine, [admit(engine, max_tokens=3)], max_pending=10, timeout_s=60
    )
    async with stream:
        texts = [item.outputs[0].token_ids for item in [item async for item in stream]]
    assert texts == [[72], [195], [169]]
    assert engine.aborted == []


async def test_leaving_aborts_once_what_has_not_finished(engine: FakeEngine) -> None:
    requests = [admit(engine, "short", max_tokens=1), admit(engine, "long", max_tokens=400)]
    engine.step_s = 0.05
    stream = await DeltaStream.open(engine, requests, max_pending=10, timeout_s=60)
    async with stream:
        async for item in stream:
            if item.request_id == "long":
                break
    stream.close()
    while engine.num_open:
        await asyncio.sleep(0.005)
    assert engine.aborted == ["long"]


async def test_an_error_ends_all_requests_of_the_stream(engine: FakeEngine) -> None:
    engine.is_hung = True
    stream = await DeltaStream.open(
        engine, [admit(engine, "a"), admit(engine, "b")], max_pending=10, timeout_s=60
    )
    engine.die(EngineDeadError("gone"))
    with pytest.raises(EngineDeadError):
        async for _ in stream:
            pass


async def test_a_consumer_that_falls_behind_loses_its_request(engine: FakeEngine) -> None:
    engine.is_hung = True
    stream = await DeltaStream.open(engine, [admit(engine)], max_pending=3, timeout_s=60)
    for _ in range(10):
        stream._push(delta())
    assert len(stream._items) == 1
    with pytest.raises(ApiError, match="too slowly"):
        await anext(stream)
    while not engine.aborted:
        await asyncio.sleep(0.005)


async def test_a_client_that_leaves_before_its_submission_is_aborted(engine: FakeEngine) -> None:
    """The thread that submits cannot be stopped, so the first abort finds nothing to abort."""
    engine.is_hung = True
    release, has_submitted = threading.Event(), threading.Event()
    submit = engine.submit

    def slow_submit(requests: Sequence[AdmittedRequest], listener: OutputListener) -> None:
        release.wait(5)
        submit(requests, listener)
        has_submitted.set()

    engine.submit = slow_submit  # type: ignore[method-assign]
    opening = asyncio.create_task(
        DeltaStream.open(engine, [admit(engine)], max_pending=3, timeout_s=60)
    )
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    while not engine.aborted:
        await asyncio.sleep(0.005)
    release.set()
    async with asyncio.timeout(5):
        while engine.num_open or not has_submitted.is_set():
            await asyncio.sleep(0.005)
    assert engine.aborted == ["r", "r"]


async def test_a_listener_outlives_its_event_loop(engine: FakeEngine) -> None:
    """The engine's thread must survive a delta for a loop that has ended."""
    engine.is_hung = True
    stream = await DeltaStream.open(engine, [admit(engine)], max_pending=3, timeout_s=60)
    loop = asyncio.new_event_loop()
    loop.close()
    stream._loop = loop
    stream._listen(delta(finished=True))

"""A job takes engine requests to a response or a stream, and leaves the form to its renderer."""

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from qstar_server.generation.generation_job import GenerationJob
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.sse import EventStream
from qstar_server.settings.config import ServerConfig
from starlette.types import Message

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams
from tests.server.fake_engine import FakeEngine


class PlainRenderer:
    """An endpoint that gives token ids and counts.

    Attributes:
        threads: the name of the thread of each call, in order.
    """

    def __init__(self, *, is_slow: bool = False) -> None:
        self._is_slow = is_slow
        self.threads: list[str] = []

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        self.threads.append(threading.current_thread().name)
        token_ids = [[each.token_ids for each in output.outputs] for output in outputs]
        return json.dumps([token_ids, counts.num_completion_tokens]).encode()

    def is_slow(self, delta: RequestOutput) -> bool:  # noqa: ARG002
        return self._is_slow

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> list[str]:
        self.threads.append(threading.current_thread().name)
        token_ids = [token_id for output in delta.outputs for token_id in output.token_ids]
        return [json.dumps([token_ids, counts.num_completion_tokens])]

    def last_frames(self, counts: TokenCounts) -> list[str]:
        return [json.dumps([counts.num_prompt_tokens, counts.num_thought_tokens])]


async def start(
    engine: Engine, renderer: PlainRenderer, *prompts: list[int], params: SamplingParams
) -> GenerationJob:
    requests = [
        engine.admit(
            EngineRequest(request_id=f"job-{number}", prompt_token_ids=prompt, params=params)
        )
        for number, prompt in enumerate(prompts)
    ]
    return await GenerationJob.start(engine, requests, renderer=renderer, config=ServerConfig())


async def respond(engine: Engine, *prompts: list[int], params: SamplingParams) -> Any:
    """Token ids of each completion of each prompt, and how many were generated."""
    job = await start(engine, PlainRenderer(), *prompts, params=params)
    return json.loads(await job.response())


async def test_outputs_come_in_the_order_of_the_requests(any_engine: Engine) -> None:
    params = SamplingParams(max_tokens=3, n=2, seed=1, ignore_eos=True)
    together, count = await respond(any_engine, [65], [66], params=params)
    alone = [(await respond(any_engine, [each], params=params))[0] for each in (65, 66)]
    assert together == alone[0] + alone[1]
    assert count == 12


async def test_a_stream_has_every_token_and_then_the_last_frames(any_engine: Engine) -> None:
    params = SamplingParams(max_tokens=4, seed=1, ignore_eos=True)
    whole, _ = await respond(any_engine, [65, 66], params=params)
    job = await start(any_engine, PlainRenderer(), [65, 66], params=params)
    *frames, last = [json.loads(str(frame)) async for frame in job.frames()]
    assert [[token_id for token_ids, _ in frames for token_id in token_ids]] == whole[0]
    assert frames[-1][1] == 4
    assert last == [2, 4 * any_engine.model.num_thought_tokens]


async def test_a_response_has_the_best_candidates_alone(any_engine: Engine) -> None:
    params = SamplingParams(max_tokens=2, n=1, best_of=3, seed=1, ignore_eos=True)
    outputs, count = await respond(any_engine, [65], params=params)
    assert len(outputs[0]) == 1
    assert count == 6, "all candidates are counted"


async def test_slow_work_leaves_the_event_loop(any_engine: Engine) -> None:
    """It stood still for a second while the scores of a long prompt were written."""
    here = threading.current_thread().name
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    for is_slow in (False, True):
        renderer = PlainRenderer(is_slow=is_slow)
        job = await start(any_engine, renderer, [65], params=params)
        assert [frame async for frame in job.frames()]
        assert {name == here for name in renderer.threads} == {not is_slow}
    whole = PlainRenderer()
    await (await start(any_engine, whole, [65], params=params)).response()
    assert here not in whole.threads


async def test_a_job_that_is_closed_before_it_is_consumed_is_aborted(
    engine: FakeEngine,
) -> None:
    engine.is_hung = True
    params = SamplingParams(max_tokens=3)
    job = await start(engine, PlainRenderer(), [65], [66], params=params)
    job.close()
    async with asyncio.timeout(20):
        while engine.num_open:
            await asyncio.sleep(0.005)
    assert sorted(engine.aborted) == ["job-0", "job-1"]


async def test_a_client_that_leaves_before_the_first_byte_frees_its_request(
    engine: FakeEngine,
) -> None:
    """The job's own iterator has not started then, and cannot clean up."""
    engine.is_hung = True
    job = await start(engine, PlainRenderer(), [65], params=SamplingParams(max_tokens=3))

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing is received")

    async def send(_: Message) -> None:
        raise OSError("the client is gone")

    scope = {"type": "http", "method": "POST"}
    with pytest.raises(OSError, match="the client is gone"):
        await EventStream(job, ServerConfig())(scope, receive, send)
    async with asyncio.timeout(20):
        while engine.num_open:
            await asyncio.sleep(0.005)
    assert engine.aborted == ["job-0"]

"""An error in a step ends the requests of that step; the outputs of the others do not change."""

import queue
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch

from qstar_infer import LLM, EngineDeadError, RequestFailedError, RequestOutput
from qstar_infer.config import EngineConfig
from qstar_infer.engine.async_engine import MAX_FAILED_STEPS, AsyncEngine
from qstar_infer.engine.failure import request_failed
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.output_processor import OutputProcessor
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.runner.torch_runner import TorchRunner
from qstar_infer.step import StepBatch, StepResult
from qstar_infer.wavefront.rows import StepPlan
from qstar_infer.wavefront.sequence import Sequence

from ..parity.toy import make_toy
from .run_requests import Texts, request, run_requests

News = queue.Queue[RequestOutput | Exception]

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory.")
DEVICE_LOST = torch.AcceleratorError("CUDA error: device-side assert triggered")


class FailingPasses:
    """Makes passes with chosen numbers (from 1) fail after all of their work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self.error = error
        self.numbers: set[int] = set()
        self.requests: set[str] = set()
        """Names of the requests that were in a failed pass."""
        self.done = 0
        run, schedule = TorchRunner.run, Scheduler.schedule
        names: set[str] = set()

        def note(scheduler: Scheduler) -> StepPlan:
            plan = schedule(scheduler)
            names.clear()
            names.update(step.seq.request_id for step in plan.sequences)
            return plan

        def fail(runner: TorchRunner, batch: StepBatch) -> StepResult:
            result = run(runner, batch)
            self.done += 1
            if self.done in self.numbers:
                self.requests |= names
                raise self.error
            return result

        monkeypatch.setattr(Scheduler, "schedule", note)
        monkeypatch.setattr(TorchRunner, "run", fail)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> FailingPasses:
    return FailingPasses(monkeypatch, OUT_OF_MEMORY)


@pytest.fixture
def thread() -> Iterator[AsyncEngine]:
    thread = AsyncEngine(LLMEngine(make_toy().model, EngineConfig(max_num_seqs=1)))
    yield thread
    thread.close()


def run(requests: Iterable[EngineRequest], **config: Any) -> tuple[Texts, set[str]]:
    """The tokens of the requests that finished, and the names of those that failed."""
    outcome = run_requests(make_toy().model, requests, **config)
    return outcome.finished, set(outcome.errors)


def submit(thread: AsyncEngine, names: str) -> dict[str, News]:
    """Submit the requests one by one, before the engine runs a step."""
    news: dict[str, News] = {name: queue.Queue() for name in names}
    with thread._changed:
        for name, inbox in news.items():
            thread.submit([thread.admit(request(name))], inbox.put)
    return news


def last(news: News) -> RequestOutput | Exception:
    while True:
        item = news.get(timeout=30)
        if isinstance(item, Exception) or item.finished:
            return item


@pytest.mark.parametrize("number", range(1, 14))
def test_requests_outside_a_failed_pass_are_unaffected(number: int, passes: FailingPasses) -> None:
    requests = [
        request("long", 20, max_tokens=9),
        request("scored", 8, prompt_logprobs=0),
        request("pair", 5, n=2),
        request("short", 2),
    ]
    want, _ = run(requests, speculation="off", num_blocks=100)
    passes.done, passes.numbers = 0, {number}
    got, failed = run(requests, max_rows=5, max_num_seqs=3, num_blocks=14, block_size=4)
    assert failed == passes.requests
    assert 0 < len(failed) < 4
    assert got == {key: text for key, text in want.items() if key[0] not in failed}


@pytest.mark.parametrize(
    ("method", "max_tokens"), [("add", 5), ("take_delta", 5), ("end_by_length", 0)]
)
def test_an_error_in_output_processing_ends_only_its_request(
    method: str, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a tokenizer can have fewer ids than the model has rows."""
    fields = {"max_tokens": max_tokens}
    requests = [request("a"), request("bad", n=2, **fields), request("b", n=2, **fields)]
    want, _ = run(requests)
    whole = getattr(OutputProcessor, method)

    def fail(completion: OutputProcessor, *args: object) -> object:
        if completion.seq.request_id == "bad":
            raise IndexError("piece id is out of range")
        return whole(completion, *args)

    monkeypatch.setattr(OutputProcessor, method, fail)
    got, failed = run(requests)
    assert failed == {"bad"}
    assert got == {key: text for key, text in want.items() if key[0] != "bad"}


def test_the_engine_continues_after_out_of_memory(
    thread: AsyncEngine, passes: FailingPasses, caplog: pytest.LogCaptureFixture
) -> None:
    """It used to end all requests and the server."""
    passes.numbers = {1}
    news = submit(thread, "abc")
    told = last(news["a"])
    assert isinstance(told, RequestFailedError)
    assert told.__cause__ is OUT_OF_MEMORY
    assert all(isinstance(last(news[name]), RequestOutput) for name in "bc")
    assert thread.is_alive
    assert "CUDA out of memory" in caplog.text


def test_an_error_while_queueing_ends_only_that_request(
    thread: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(completion: OutputProcessor, seq: Sequence, *args: Any, **fields: Any) -> None:
        if seq.request_id == "a" and seq.index == 1:
            raise IndexError("piece id is out of range")
        begin(completion, seq, *args, **fields)

    begin = OutputProcessor.__init__
    monkeypatch.setattr(OutputProcessor, "__init__", fail)
    bad: News = queue.Queue()
    thread.submit([thread.admit(request("a", n=2))], bad.put)
    assert isinstance(last(bad), RequestFailedError)
    assert isinstance(last(submit(thread, "b")["b"]), RequestOutput)
    assert thread.stats().num_free_blocks == thread.stats().num_blocks


def test_a_successful_step_resets_the_count_of_failed_steps(
    thread: AsyncEngine, passes: FailingPasses
) -> None:
    passes.numbers = {number for number in range(1, 40) if number % MAX_FAILED_STEPS != 0}
    news = submit(thread, "abcdefgh")
    assert all(isinstance(last(inbox), RequestFailedError) for inbox in news.values())
    assert thread.is_alive


def test_the_engine_dies_if_every_step_fails(thread: AsyncEngine, passes: FailingPasses) -> None:
    passes.numbers = set(range(1, 9))
    news = submit(thread, "abcde")
    told = [type(last(inbox)) for inbox in news.values()]
    assert told == [RequestFailedError] * MAX_FAILED_STEPS + [EngineDeadError] * 2
    assert_dead(thread)


@pytest.mark.parametrize(
    "error", [DEVICE_LOST, RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED")]
)
def test_a_device_failure_ends_the_engine(
    error: Exception, thread: AsyncEngine, passes: FailingPasses
) -> None:
    passes.error, passes.numbers = error, {1}
    news = submit(thread, "abc")
    assert all(isinstance(last(inbox), EngineDeadError) for inbox in news.values())
    assert_dead(thread)


def test_wrong_block_accounting_ends_the_engine(thread: AsyncEngine, passes: FailingPasses) -> None:
    passes.numbers = {1}
    blocks = thread._engine._scheduler.memory.blocks
    blocks.grow(blocks.open_table(), 1)  # a table without an owner
    news = submit(thread, "ab")
    assert all(isinstance(last(inbox), EngineDeadError) for inbox in news.values())
    assert_dead(thread)


def test_a_failure_does_not_keep_the_tensors_of_its_pass() -> None:
    """Otherwise the stored error would keep memory that the next pass needs."""

    def fail() -> None:
        logits = torch.zeros(3)
        kept.append(weakref.ref(logits))
        raise OUT_OF_MEMORY

    kept: list[weakref.ref[torch.Tensor]] = []
    try:
        fail()
    except torch.OutOfMemoryError as cause:
        error = request_failed(cause)
    assert error.__cause__ is OUT_OF_MEMORY
    assert kept[0]() is None


def assert_dead(thread: AsyncEngine) -> None:
    thread._thread.join(timeout=30)
    assert not thread.is_alive
    with pytest.raises(EngineDeadError):
        thread.submit([thread.admit(request("late"))], lambda _: None)


@pytest.mark.parametrize("fails_first", ["first", "second"])
def test_every_stream_of_a_failed_step_raises_the_error(
    fails_first: str, passes: FailingPasses
) -> None:
    """A stream must not wait forever if the step of another stream ended it."""
    llm = LLM(model=make_toy().model)
    streams = {name: llm.stream([1, 2, 3]) for name in ("first", "second")}
    for stream in streams.values():
        next(stream)
    passes.numbers = set(range(passes.done + 1, passes.done + 3))
    for name in sorted(streams, key=lambda name: name != fails_first):
        with pytest.raises(RequestFailedError) as caught:
            list(streams[name])
        assert caught.value.__cause__ is OUT_OF_MEMORY
    passes.numbers = set()
    assert llm.generate([1, 2, 3])[0].finished
    llm.close()

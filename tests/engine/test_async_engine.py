"""The engine thread: submissions, aborts, a full queue, closing."""

import queue
import threading
from collections.abc import Iterator

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine import async_engine
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest, OutputListener
from qstar_infer.errors import (
    EngineClosedError,
    EngineDeadError,
    QueueFullError,
    RequestError,
)
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams

from ..parity.toy import make_toy

News = queue.Queue[RequestOutput | Exception]


def request(name: str, *, max_tokens: int = 5, n: int = 1) -> EngineRequest:
    params = SamplingParams(max_tokens=max_tokens, n=n, seed=1, ignore_eos=True)
    return EngineRequest(request_id=name, prompt_token_ids=[1, 2, 3], params=params)


def submit(engine: AsyncEngine, requests: list[EngineRequest], listener: OutputListener) -> None:
    engine.submit([engine.admit(one) for one in requests], listener)


@pytest.fixture
def engine() -> Iterator[AsyncEngine]:
    config = EngineConfig(max_num_seqs=2, max_queue=2)
    thread = AsyncEngine(LLMEngine(make_toy().model, config))
    yield thread
    thread.close()


def until_finished(news: News) -> list[RequestOutput]:
    outputs: list[RequestOutput] = []
    while not (outputs and outputs[-1].finished):
        item = news.get(timeout=30)
        assert isinstance(item, RequestOutput)
        outputs.append(item)
    return outputs


def wait_until_idle(engine: AsyncEngine) -> None:
    """Wait until the engine has handled all earlier commands."""
    news: News = queue.Queue()
    submit(engine, [request("last")], news.put)
    until_finished(news)
    stats = engine.stats()
    assert stats.num_running == 0
    assert stats.num_waiting == 0
    assert stats.num_free_blocks == stats.num_blocks


def test_several_prompts_are_answered(engine: AsyncEngine) -> None:
    news: dict[str, News] = {name: queue.Queue() for name in "abc"}
    for name, inbox in news.items():
        submit(engine, [request(name)], inbox.put)
    for inbox in news.values():
        assert sum(len(o.outputs[0].token_ids) for o in until_finished(inbox)) == 5


def test_a_full_queue_accepts_all_of_a_submission_or_nothing(engine: AsyncEngine) -> None:
    news: News = queue.Queue()
    submit(engine, [request("a", max_tokens=200), request("b", max_tokens=200)], news.put)
    with pytest.raises(QueueFullError) as caught:
        submit(engine, [request("c"), request("d", n=2)], news.put)
    assert caught.value.retry_after_s >= 1
    submit(engine, [request("c"), request("d")], news.put)  # exactly the free capacity
    for name in "abcd":
        engine.abort(name)
    wait_until_idle(engine)


def test_more_sequences_than_the_engine_can_hold_are_a_request_error(engine: AsyncEngine) -> None:
    with pytest.raises(RequestError):
        submit(engine, [request("a", n=5)], lambda _: None)
    with pytest.raises(RequestError):
        submit(engine, [request("a", n=3), request("b", n=3)], lambda _: None)


def test_prompt_tokens_that_wait_are_limited() -> None:
    """A few long prompts keep all others waiting as much as many short ones."""
    size = len(request("a").prompt_token_ids)
    config = EngineConfig(max_num_seqs=1, max_queue=100, max_queued_tokens=3 * size)
    engine = AsyncEngine(LLMEngine(make_toy().model, config))
    news: News = queue.Queue()
    submit(engine, [request("a", max_tokens=200)], news.put)
    news.get(timeout=30)  # no longer waiting
    submit(engine, [request("b"), request("c"), request("d")], lambda _: None)
    with pytest.raises(QueueFullError, match="prompt tokens wait"):
        submit(engine, [request("e")], lambda _: None)
    engine.abort("b")
    submit(engine, [request("e")], lambda _: None)
    with pytest.raises(RequestError, match="prompt tokens, and at most"):
        submit(engine, [request(name) for name in "wxyz"], lambda _: None)
    engine.close()


def test_aborting_a_running_and_a_queued_request_frees_both(engine: AsyncEngine) -> None:
    news: News = queue.Queue()
    for name in "abcd":  # two run, two wait
        submit(engine, [request(name, max_tokens=250)], news.put)
    news.get(timeout=30)
    for name in "abcd":
        engine.abort(name)
        engine.abort(name)
    engine.abort("never seen")
    wait_until_idle(engine)


def test_an_error_in_a_listener_does_not_affect_the_others(engine: AsyncEngine) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("listener")

    news: News = queue.Queue()
    submit(engine, [request("bad")], fail)
    submit(engine, [request("good")], news.put)
    assert until_finished(news)[-1].finished


def test_closing_ends_waiting_requests_with_an_error() -> None:
    """The error must differ from that of an engine that died."""
    thread = AsyncEngine(LLMEngine(make_toy().model))
    news: News = queue.Queue()
    submit(thread, [request("a", max_tokens=250)], news.put)
    thread.close()
    items = []
    while not news.empty():
        items.append(news.get())
    assert isinstance(items[-1], EngineClosedError)
    assert not thread.is_alive
    with pytest.raises(EngineClosedError):
        submit(thread, [request("b")], news.put)


class Hang:
    """Makes an engine hang in its next step, until it is let go."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()
        self._step = engine._engine.step
        vars(engine._engine)["step"] = self._hang

    def _hang(self) -> object:
        self.is_reached.set()
        self.may_go_on.wait(60)
        return self._step()


def test_a_hung_engine_that_is_abandoned_ends_its_requests(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    hang = Hang(engine)
    news: News = queue.Queue()
    submit(engine, [request("a"), request("b")], news.put)
    assert hang.is_reached.wait(30)
    error = EngineDeadError("too slow")
    engine.abandon(error)
    assert [news.get(timeout=30), news.get(timeout=30)] == [error, error]
    assert not engine.is_alive
    with pytest.raises(EngineDeadError, match="has stopped"):
        submit(engine, [request("c")], news.put)
    assert "too slow; it is in wait (" in caplog.text
    assert "_hang (" in caplog.text
    hang.may_go_on.set()
    engine._thread.join(30)
    assert not engine._thread.is_alive()
    assert news.empty(), "it went on after it was abandoned"


def test_a_hung_engine_still_tells_its_stats(engine: AsyncEngine) -> None:
    """Else a scrape would hang with it."""
    hang = Hang(engine)
    submit(engine, [request("a"), request("b"), request("c")], lambda _: None)
    assert hang.is_reached.wait(30)
    stats = engine.stats()
    assert stats.num_running + stats.num_waiting == 3
    hang.may_go_on.set()


def test_closing_does_not_wait_for_a_hung_step(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_engine, "CLOSE_TIMEOUT_S", 0.05)
    hang = Hang(engine)
    news: News = queue.Queue()
    submit(engine, [request("a")], news.put)
    assert hang.is_reached.wait(30)
    engine.close()
    assert isinstance(news.get(timeout=30), EngineClosedError)
    assert not engine.is_alive
    hang.may_go_on.set()


def test_whatever_ends_the_thread_ends_the_requests(engine: AsyncEngine) -> None:
    """SystemExit is no `Exception`: requests would have waited forever for a dead thread."""

    def leave() -> object:
        raise SystemExit

    vars(engine._engine)["step"] = leave
    news: News = queue.Queue()
    submit(engine, [request("a")], news.put)
    assert isinstance(news.get(timeout=30), EngineDeadError)
    assert not engine.is_alive

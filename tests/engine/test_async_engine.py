"""The engine thread: submissions, aborts, a full queue, closing."""

import queue
from collections.abc import Iterator

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest, OutputListener
from qstar_infer.errors import EngineClosedError, QueueFullError, RequestError
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
    with pytest.raises(QueueFullError):
        engine.check_room(3)
    engine.check_room(2)
    engine.check_room(5)  # never: that is for `submit` to say
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

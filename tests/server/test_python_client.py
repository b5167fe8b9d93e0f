"""The Python client against the server: every endpoint whole and streamed, and leaving early.

What a stream adds up to is compared with the whole answer, and both with the official client.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import openai
import pytest
from qstar_client import (
    AsyncQStarClient,
    AuthenticationError,
    BadRequestError,
    FinishEvent,
    NotFoundError,
    QStarClient,
    StreamEvent,
    TextEvent,
    Thought,
    ThoughtEvent,
    UsageEvent,
)
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.live_server import LiveServer, start_server, wait_until

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "completions": {"prompt": "Hi", "max_tokens": 60, "logprobs": 1},
    "chat": {"messages": MESSAGES, "logprobs": True, "include_reasoning": True},
    "responses": {"input": "Hi", "include_reasoning": True},
}
KEY = "sk-hunter22"
VOLATILE = {"id", "created", "created_at", "completed_at"}


@pytest.fixture
def client(live: LiveServer) -> Iterator[QStarClient]:
    with QStarClient(base_url=live.url) as client:
        yield client


@pytest.fixture
async def async_client(live: LiveServer) -> AsyncIterator[AsyncQStarClient]:
    async with AsyncQStarClient(base_url=live.url) as client:
        yield client


@pytest.fixture(params=REQUESTS)
def endpoint(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def calls(client: Any, endpoint: str) -> Any:
    """The object with `create` and `stream`; the official client has the same ones."""
    return client.chat.completions if endpoint == "chat" else getattr(client, endpoint)


def stable(answer: Any) -> Any:
    """The answer without what differs between two requests."""
    return without_ids(answer.model_dump(mode="json", exclude_none=True))


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(each) for name, each in value.items() if name not in VOLATILE}
    return [without_ids(each) for each in value] if isinstance(value, list) else value


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent))


def test_a_stream_adds_up_to_the_whole(client: QStarClient, endpoint: str) -> None:
    request = REQUESTS[endpoint] | {"show_thoughts": True, "seed": 1}
    whole = calls(client, endpoint).create(**request)
    with calls(client, endpoint).stream(**request) as stream:
        events = list(stream.events())
    assert stable(stream.final()) == stable(whole)
    assert text_of(events) == SCRIPT
    thoughts = [event.thought for event in events if isinstance(event, ThoughtEvent)]
    assert thoughts == (whole.thoughts if endpoint == "responses" else whole.choices[0].thoughts)
    assert [each.finish_reason for each in events if isinstance(each, FinishEvent)] == ["stop"]
    (usage,) = [each.usage for each in events if isinstance(each, UsageEvent)]
    assert usage.completion_tokens == len(thoughts)
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 3 * len(thoughts)


async def test_the_async_client_reads_the_same(
    client: QStarClient, async_client: AsyncQStarClient, endpoint: str
) -> None:
    request = REQUESTS[endpoint] | {"show_thoughts": True, "seed": 1}
    whole = await asyncio.to_thread(calls(client, endpoint).create, **request)
    assert stable(await calls(async_client, endpoint).create(**request)) == stable(whole)
    stream = calls(async_client, endpoint).stream(**request)
    assert text_of([event async for event in stream.events()]) == SCRIPT
    assert stable(await stream.final()) == stable(whole)


def test_thoughts_are_those_that_the_official_client_gets(
    client: QStarClient, openai_client: openai.OpenAI, endpoint: str
) -> None:
    details = {"show_thoughts": True, "thought_top_logprobs": 3, "show_passes": True}
    request = {"model": client.models.only_id(), "extra_body": details}
    known = {k: v for k, v in REQUESTS[endpoint].items() if k != "include_reasoning"}
    theirs = calls(openai_client, endpoint).create(**request, **known)
    ours = calls(client, endpoint).create(**request, **known)
    if endpoint != "responses":
        theirs, ours = theirs.choices[0], ours.choices[0]
    entries = theirs.model_extra["thoughts"]
    assert len(entries) > 3
    assert ours.thoughts == [Thought.model_validate(entry) for entry in entries]
    assert [each.model_dump() for each in ours.thoughts] == entries
    assert {name for entry in entries for name in entry} == set(Thought.model_fields)
    passes = ours.thoughts[1].passes
    assert (passes.first, passes.last, passes.draft.is_kept) == (4, 7, False)


def test_leaving_a_loop_aborts_the_request(
    client: QStarClient, engine: FakeEngine, endpoint: str
) -> None:
    engine.step_s = 0.02
    for event in calls(client, endpoint).create(**REQUESTS[endpoint], stream=True):
        assert event.model_dump()
        assert engine.num_open == 1
        break
    wait_until(lambda: engine.num_open == 0)
    assert len(engine.aborted) == 1


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_cancelling_a_task_aborts_the_request(
    async_client: AsyncQStarClient, engine: FakeEngine, endpoint: str, is_streamed: bool
) -> None:
    engine.step_s = 0.02

    async def ask() -> None:
        answer = await calls(async_client, endpoint).create(
            **REQUESTS[endpoint], stream=is_streamed, model=engine.model.name
        )
        if is_streamed:
            async for _ in answer:
                pass

    task = asyncio.create_task(ask())
    await asyncio.to_thread(wait_until, lambda: engine.num_open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until, lambda: engine.num_open == 0)
    assert len(engine.aborted) == 1


@pytest.fixture
def url_with_key(engine: FakeEngine) -> Iterator[str]:
    """A server that wants a key."""
    config = ServerConfig.model_validate({"api_key": KEY, "drain_grace_s": 0.2})
    server = start_server(engine, config)
    yield server.url
    server.stop()


def test_a_server_with_a_key(url_with_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QSTAR_API_KEY", raising=False)
    calls: list[Callable[[QStarClient], object]] = [
        lambda client: client.models.list(),
        lambda client: client.tokenize(prompt="x"),
        lambda client: client.chat.completions.create(messages=[], model="m", stream=True),
    ]
    for wrong in ("", "sk-wrong-key"):
        with QStarClient(base_url=url_with_key, api_key=wrong) as client:
            assert client.health()
            for call in calls:
                with pytest.raises(AuthenticationError) as caught:
                    call(client)
                assert caught.value.code == "invalid_api_key"
    monkeypatch.setenv("QSTAR_API_KEY", KEY)
    with QStarClient(base_url=url_with_key) as client:
        answer = client.chat.completions.create(messages=MESSAGES)
        assert answer.choices[0].message.content == SCRIPT


def test_an_answer_goes_back_in_the_next_request(client: QStarClient, engine: FakeEngine) -> None:
    message = client.chat.completions.create(messages=MESSAGES, show_thoughts=True).choices[0]
    client.chat.completions.create(messages=[*MESSAGES, message.message, *MESSAGES])
    assert [each["content"] for each in engine.render_calls[-1]["messages"]] == [
        "Hi",
        SCRIPT,
        "Hi",
    ]
    response = client.responses.create(input="Hi", include_reasoning=True)
    client.responses.create(input=[*MESSAGES, *response.output, *MESSAGES])
    assert [each["content"] for each in engine.render_calls[-1]["messages"]] == [
        "Hi",
        SCRIPT,
        "Hi",
    ]


def test_tokens_there_and_back(client: QStarClient, engine: FakeEngine) -> None:
    answer = client.tokenize(prompt=SCRIPT, add_special_tokens=False, return_token_strs=True)
    assert answer.tokens == engine.encode(SCRIPT, add_special_tokens=False)
    assert answer.count == len(answer.tokens) == len(answer.token_strs or ())
    assert answer.max_model_len == engine.model.max_model_len
    assert client.detokenize(tokens=answer.tokens).prompt == SCRIPT


def test_models(client: QStarClient, engine: FakeEngine) -> None:
    name = engine.model.name
    assert "/" in name
    assert client.models.retrieve(name).id == name
    for wrong in ("../../health", "..", "x?y"):
        with pytest.raises(NotFoundError) as caught:
            client.models.retrieve(wrong)
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (lambda client: client.chat.completions.create(messages=[]), "messages"),
        (lambda client: client.responses.create(input="x", store=True), "store"),
        (lambda client: client.completions.create(prompt="x", top_p=2.0, stream=True), "top_p"),
        (lambda client: client.detokenize(tokens=[-1]), "tokens"),
    ],
    ids=["chat", "responses", "completions", "detokenize"],
)
def test_a_refusal_names_the_field(
    client: QStarClient, call: Callable[[QStarClient], object], param: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        call(client)
    assert (caught.value.param or "").startswith(param)
    assert caught.value.request_id is not None

"""Both clients against scripted answers: what they send, return, retry and raise."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from qstar_client import (
    APIConnectionError,
    APITimeoutError,
    InvalidResponseError,
    LikelyToken,
    NotFoundError,
    QStarClientError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    StreamError,
)

from .answers import thought
from .conftest import COMPLETION, Harness, event

MODEL = {"id": "tiny", "object": "model", "created": 1, "owned_by": "us", "max_model_len": 64}
DONE = b"data: [DONE]\n\n"
Outcome = httpx.Response | Exception


class Script:
    """Answers completion requests with its responses, in order, and records every request."""

    def __init__(self, *outcomes: Outcome, models: int = 1) -> None:
        self.outcomes = list(outcomes)
        self.models = [{**MODEL, "id": f"tiny-{i}" if i else "tiny"} for i in range(models)]
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"object": "list", "data": self.models})
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    @property
    def last_body(self) -> dict[str, object]:
        body: dict[str, object] = json.loads(self.requests[-1].content)
        return body


def ok() -> httpx.Response:
    return httpx.Response(200, json=COMPLETION)


def busy(status: int = 429, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={"retry-after": "0", **headers}, json={"error": "busy"})


async def create(harness: Harness, script: Callable[..., httpx.Response], **kw: object) -> Any:
    client = harness.client(script)
    return await harness.settle(client.completions.create(**{"prompt": "2+2=", "model": "m", **kw}))


async def test_completion_is_typed_and_keeps_unknown_fields(harness: Harness) -> None:
    thought = {
        "token": " 4",
        "token_id": 604,
        "thought": "add them",
        "thought_token_ids": [7, 8],
        "mixing_weight": 0.5,
        "logprob": -0.1,
        "base_logprob": -1.2,
        "entropy": 2.0,
    }
    body = {**COMPLETION, "choices": [{"index": 0, "text": " 4", "thoughts": [thought]}], "new": 1}
    completion = await create(harness, Script(httpx.Response(200, json=body)), show_thoughts=True)
    assert completion.choices[0].text == " 4"
    assert completion.choices[0].finish_reason is None
    assert completion.choices[0].thoughts[0].thought_token_ids == [7, 8]
    assert completion.choices[0].thoughts[0].model_extra == {"entropy": 2.0}
    assert completion.usage.completion_tokens_details.reasoning_tokens == 6
    assert completion.model_extra == {"new": 1}


async def test_what_a_thought_has_beside_it_is_typed(harness: Harness) -> None:
    likely = {"token": "4", "token_id": 5, "logprob": -0.5}
    passes = {
        "first": 3,
        "last": 7,
        "draft": {"token": "5", "token_id": 6, "is_fed": True, "is_kept": False},
        "dropped": [{"token": "5", "first": 4, "last": 7}],
    }
    entry = thought("4") | {
        "top_logprobs": [likely],
        "base_top_logprobs": [],
        "passes": passes,
    }
    body = {**COMPLETION, "choices": [{"index": 0, "text": "4", "thoughts": [entry]}]}
    fields = {"show_thoughts": True, "thought_top_logprobs": 1, "show_passes": True}
    script = Script(httpx.Response(200, json=body))
    (read,) = (await create(harness, script, **fields)).choices[0].thoughts
    assert script.last_body == {"model": "m", "prompt": "2+2="} | fields
    assert read.top_logprobs == [LikelyToken(**likely)]
    assert read.base_top_logprobs == []
    assert (read.passes.last, read.passes.draft.is_kept) == (7, False)
    assert read.passes.dropped[0].first == 4
    assert read.model_dump() == entry


async def test_body_holds_what_was_given_and_nothing_else(harness: Harness) -> None:
    script = Script(ok())
    await create(
        harness,
        script,
        prompt=[1, 2],
        max_tokens=0,
        temperature=0.0,
        stop=None,
        show_thoughts=False,
        thinking={"where": "behind", "tokens": ["?", 7]},
        logit_bias={5: -1.5},
        extra_body={"best_of": 2, "temperature": 1.0},
    )
    assert script.last_body == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 0,
        "temperature": 1.0,
        "show_thoughts": False,
        "thinking": {"where": "behind", "tokens": ["?", 7]},
        "logit_bias": {"5": -1.5},
        "best_of": 2,
    }


async def test_key_and_agent_are_sent(harness: Harness) -> None:
    script = Script(ok())
    client = harness.client(script, api_key="sk-1", base_url="http://h:1/prefix/v1")
    await harness.settle(client.completions.create(prompt="", model="m"))
    assert script.requests[0].headers["authorization"] == "Bearer sk-1"
    assert script.requests[0].headers["user-agent"].startswith("qstar-client/")
    assert str(script.requests[0].url) == "http://h:1/prefix/v1/completions"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_token": 3}, "max_token; .*extra_body"),
        ({"extra_body": {"stream": True}}, r"stream=True to create\(\)"),
    ],
)
async def test_misuse_is_a_type_error(
    harness: Harness, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        await create(harness, Script(), **arguments)


async def test_the_only_model_is_asked_for_once(harness: Harness) -> None:
    script = Script(ok(), ok())
    client = harness.client(script)
    for _ in range(2):
        await harness.settle(client.completions.create(prompt="x"))
        assert script.last_body["model"] == "tiny"
    assert script.paths == ["/v1/models", "/v1/completions", "/v1/completions"]


async def test_a_named_model_is_not_asked_for(harness: Harness) -> None:
    script = Script(ok(), ok())
    await create(harness, script, model="m")
    await create(harness, script, model=None, extra_body={"model": "e"})
    assert script.paths == ["/v1/completions", "/v1/completions"]
    assert script.last_body["model"] == "e"


@pytest.mark.parametrize(
    ("models", "message"), [(0, "0 models .none"), (2, "2 models .tiny, tiny-1")]
)
async def test_without_exactly_one_model_it_must_be_named(
    harness: Harness, models: int, message: str
) -> None:
    with pytest.raises(QStarClientError, match=message):
        await create(harness, Script(models=models), model=None)


async def test_models(harness: Harness) -> None:
    script = Script(httpx.Response(200, json=MODEL), httpx.Response(404, json={"error": "none"}))
    client = harness.client(script)
    listed = await harness.settle(client.models.list())
    assert [(model.id, model.model_extra) for model in listed] == [("tiny", {"max_model_len": 64})]
    assert (await harness.settle(client.models.retrieve("org/tiny ?"))).owned_by == "us"
    assert script.requests[-1].url.raw_path == b"/v1/models/org%2Ftiny%20%3F"
    with pytest.raises(NotFoundError):
        await harness.settle(client.models.retrieve("x"))


@pytest.mark.parametrize(
    "model", ["../../health", "..", ".", "/", "a?b#c", "%2e%2e", "http://evil.test/", "ü", " "]
)
async def test_a_model_id_is_one_segment_of_the_path(harness: Harness, model: str) -> None:
    """`retrieve("../../health")` once requested `/health`."""
    script = Script(httpx.Response(200, json=MODEL))
    await harness.settle(harness.client(script).models.retrieve(model))
    url = script.requests[0].url
    assert url.host == "127.0.0.1"
    head, _, segment = url.raw_path.decode().rpartition("/")
    assert head == "/v1/models"
    assert unquote(segment) == model
    assert segment not in (".", "..")


async def test_an_empty_model_id_is_refused(harness: Harness) -> None:
    """Its path would be that of the list."""
    with pytest.raises(ValueError, match="empty"):
        await harness.settle(harness.client(Script()).models.retrieve(""))


async def test_the_list_of_models_is_read_like_the_openai_packages(harness: Harness) -> None:
    listed = await harness.settle(harness.client(Script(models=2)).models.list())
    assert [model.id for model in listed] == ["tiny", "tiny-1"]
    assert (listed.data[0], listed[1].id, len(listed)) == (listed[0], "tiny-1", 2)


@pytest.mark.parametrize("failure", [httpx.ReadError("reset"), 502])
async def test_what_starts_no_generation_is_repeated_after_any_failure(
    harness: Harness, failure: Exception | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qstar_client._retry._FIRST_DELAY_S", 0.0)
    tokens = {"tokens": [1, 2], "count": 2, "max_model_len": 64, "token_strs": None}
    outcome = httpx.Response(failure) if isinstance(failure, int) else failure
    script = Script(outcome, httpx.Response(200, json=tokens))
    answer = await harness.settle(harness.client(script).tokenize(prompt="x"))
    assert answer.tokens == [1, 2]
    assert len(script.requests) == 2


async def test_health_answers_once_without_retries(harness: Harness) -> None:
    script = Script(httpx.Response(200), busy(503), httpx.Response(500), httpx.ConnectError(""))
    client = harness.client(script)
    assert await harness.settle(client.health()) is True
    assert await harness.settle(client.health()) is False
    with pytest.raises(ServerError):
        await harness.settle(client.health())
    with pytest.raises(APIConnectionError):
        await harness.settle(client.health())
    assert script.paths == ["/health"] * 4


@pytest.mark.parametrize("status", [429, 503])
async def test_a_request_turned_away_is_repeated(harness: Harness, status: int) -> None:
    script = Script(busy(status), busy(status), ok())
    await create(harness, script)
    assert len(script.requests) == 3
    assert len({request.content for request in script.requests}) == 1


async def test_retries_end(harness: Harness) -> None:
    script = Script(*(busy(429) for _ in range(4)))
    with pytest.raises(RateLimitError, match="busy"):
        await create(harness, script)
    assert len(script.requests) == 3


async def test_the_server_can_refuse_retries(harness: Harness) -> None:
    script = Script(busy(503, **{"x-should-retry": "false"}), ok())
    with pytest.raises(ServiceUnavailableError):
        await create(harness, script)
    assert len(script.requests) == 1


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_a_connection_never_made_is_repeated(
    harness: Harness, error: type[httpx.RequestError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qstar_client._retry._FIRST_DELAY_S", 0.0)
    script = Script(error("refused"), ok())
    await create(harness, script)
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (httpx.ReadTimeout("slow"), APITimeoutError),
        (httpx.WriteTimeout("slow"), APITimeoutError),
        (httpx.ReadError("reset"), APIConnectionError),
        (httpx.RemoteProtocolError("hung up"), APIConnectionError),
        (500, ServerError),
        (502, ServerError),
    ],
)
async def test_what_may_have_started_a_generation_is_not_repeated(
    harness: Harness, outcome: Exception | int, expected: type[Exception]
) -> None:
    script = Script(httpx.Response(outcome) if isinstance(outcome, int) else outcome, ok())
    with pytest.raises(expected) as caught:
        await create(harness, script)
    assert type(caught.value) is expected
    assert len(script.requests) == 1


@pytest.mark.parametrize("content", [b"<html>", b"", b"[]", b'{"id": "secret"}', b'{"choices": 1}'])
async def test_a_success_that_is_no_completion_is_an_error(
    harness: Harness, content: bytes
) -> None:
    with pytest.raises(InvalidResponseError, match="is not a Completion") as caught:
        await create(harness, Script(httpx.Response(200, content=content)))
    assert "secret" not in str(caught.value)


def deltas(*texts: str) -> bytes:
    choices = [{"index": 0, "text": text, "finish_reason": None} for text in texts]
    return b"".join(event({**COMPLETION, "choices": [choice]}) for choice in choices)


async def test_stream_yields_chunks_then_the_whole(harness: Harness) -> None:
    script = Script(httpx.Response(200, content=deltas("a", "é", "c") + DONE))
    stream = harness.client(script).completions.stream(prompt="x", seed=0)
    assert script.requests == []
    first = await harness.next(stream)
    assert first.choices[0].text == "a"
    assert (await harness.settle(stream.final())).choices[0].text == "aéc"
    assert await harness.next(stream) is None
    assert script.last_body == {
        "model": "tiny",
        "prompt": "x",
        "seed": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_entering_a_stream_sends_the_request_once(harness: Harness) -> None:
    script = Script(httpx.Response(200, content=deltas("a") + DONE))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    assert await harness.enter(stream) is stream
    assert len(script.requests) == 1
    assert (await harness.settle(stream.final())).choices[0].text == "a"
    await harness.leave(stream)
    assert len(script.requests) == 1


async def test_a_stream_turned_away_is_repeated_and_refused_is_not(harness: Harness) -> None:
    script = Script(busy(503), httpx.Response(404, json={"error": "none"}))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    with pytest.raises(NotFoundError):
        await harness.enter(stream)
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    "tail", [b"", event({"error": {"message": "no [DONE] for you"}}), b"data: no [DONE]"]
)
async def test_a_broken_stream_raises_and_is_not_repeated(harness: Harness, tail: bytes) -> None:
    script = Script(httpx.Response(200, content=deltas("a") + tail))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    assert (await harness.next(stream)).choices[0].text == "a"
    with pytest.raises(StreamError):
        await harness.next(stream)
    assert await harness.next(stream) is None
    assert len(script.requests) == 1


async def test_a_closed_stream_is_over_and_has_no_whole(harness: Harness) -> None:
    script = Script(httpx.Response(200, content=deltas("a", "b") + DONE))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    await harness.next(stream)
    for _ in range(2):
        await harness.settle(stream.close())
    assert await harness.next(stream) is None
    with pytest.raises(StreamError, match="closed before it ended"):
        await harness.settle(stream.final())


async def test_a_stream_closed_before_it_began_sends_nothing(harness: Harness) -> None:
    script = Script()
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    await harness.settle(stream.close())
    await harness.enter(stream)
    assert await harness.next(stream) is None
    assert script.requests == []


async def test_create_opens_the_stream_at_once_and_asks_for_no_usage(harness: Harness) -> None:
    """As in the openai package: code that reads `choices[0]` of each chunk must not break."""
    script = Script(httpx.Response(200, content=deltas("a") + DONE))
    client = harness.client(script)
    stream = await harness.settle(client.completions.create(prompt="x", model="m", stream=True))
    assert script.last_body == {"prompt": "x", "model": "m", "stream": True}
    assert (await harness.settle(stream.final())).choices[0].text == "a"
    script.outcomes.append(httpx.Response(404, json={"error": "none"}))
    with pytest.raises(NotFoundError):
        await harness.settle(client.completions.create(prompt="x", model="m", stream=True))


async def test_a_caller_can_decide_about_the_usage(harness: Harness) -> None:
    script = Script(*(httpx.Response(200, content=deltas("a") + DONE) for _ in range(2)))
    options = {"continuous_usage_stats": True}
    client = harness.client(script)
    for place in ({"stream_options": options}, {"extra_body": {"stream_options": options}}):
        stream = client.completions.stream(prompt="x", model="m", **place)
        await harness.settle(stream.final())
        assert script.last_body["stream_options"] == options


async def loop_once(harness: Harness, chunks: Any) -> None:
    """Leave a loop after one turn."""
    if harness.is_async:
        async for _ in chunks:
            break
    else:
        for _ in chunks:
            break


async def loop_through(harness: Harness, stream: Any) -> list[str]:
    if harness.is_async:
        return [chunk.choices[0].text async for chunk in stream]
    return [chunk.choices[0].text for chunk in stream]


@pytest.mark.parametrize("by_events", [False, True])
async def test_leaving_a_loop_early_closes_the_response(harness: Harness, by_events: bool) -> None:
    response = httpx.Response(200, content=deltas("a", "b") + DONE)
    stream = harness.client(Script(response)).completions.stream(prompt="x", model="m")
    await loop_once(harness, stream.events() if by_events else stream)
    await asyncio.sleep(0.05)  # the event loop closes an abandoned generator soon, not at once
    assert response.is_closed
    with pytest.raises(StreamError, match="closed before it ended"):
        await loop_through(harness, stream)


async def test_a_complete_stream_gives_nothing_the_second_time(harness: Harness) -> None:
    script = Script(httpx.Response(200, content=deltas("a", "b") + DONE))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    assert await loop_through(harness, stream) == ["a", "b"]
    assert await loop_through(harness, stream) == []
    assert (await harness.settle(stream.final())).choices[0].text == "ab"
    assert len(script.requests) == 1


async def test_chunks_can_be_taken_one_by_one_and_then_looped_over(harness: Harness) -> None:
    script = Script(httpx.Response(200, content=deltas("a", "b") + DONE))
    stream = harness.client(script).completions.stream(prompt="x", model="m")
    assert (await harness.next(stream)).choices[0].text == "a"
    assert await loop_through(harness, stream) == ["b"]


async def test_a_closed_client_refuses_every_call(harness: Harness) -> None:
    client = harness.client(Script())
    stream = client.chat.completions.stream(messages=[], model="m")
    for _ in range(2):
        await harness.settle(client.close())
    for call in (
        lambda: client.health(),
        lambda: client.models.list(),
        lambda: client.completions.create(prompt="x", model="m"),
        lambda: client.responses.create(input="x", model="m", stream=True),
        lambda: client.tokenize(prompt="x"),
        lambda: harness.enter(stream),
    ):
        with pytest.raises(QStarClientError, match="client is closed"):
            await harness.settle(call())


async def test_tokens(harness: Harness) -> None:
    tokens = {"tokens": [1, 2], "count": 2, "max_model_len": 64, "token_strs": ["a", "b"]}
    script = Script(httpx.Response(200, json=tokens), httpx.Response(200, json={"prompt": "ab"}))
    client = harness.client(script)
    options = {"add_special_tokens": False, "return_token_strs": True}
    answer = await harness.settle(client.tokenize(prompt="ab", **options))
    assert (answer.tokens, answer.count, answer.token_strs) == ([1, 2], 2, ["a", "b"])
    assert script.last_body == {"prompt": "ab", **options}
    assert (await harness.settle(client.detokenize(tokens=[1, 2]))).prompt == "ab"
    assert script.last_body == {"tokens": [1, 2]}
    assert script.paths == ["/tokenize", "/detokenize"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), ValueError),
        ("\ud800", ValueError),
        (object(), TypeError),
        ({1, 2}, TypeError),
    ],
    ids=["nan", "surrogate", "object", "set"],
)
async def test_what_has_no_form_in_json_is_refused(
    harness: Harness, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await create(harness, Script(), extra_body={"x": value})


async def test_a_body_nested_too_deeply_is_refused(harness: Harness) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        await create(harness, Script(), extra_body={"x": value})
    while value:  # its own destructor would recurse
        value = value[0]

"""What type checkers know about calls. mypy checks `assert_type`; the test runs the same lines."""

from typing import assert_type

import httpx
import pytest

from qstar_client import (
    AsyncCompletionStream,
    AsyncQStarClient,
    ChatCompletion,
    ChatCompletionStream,
    Completion,
    CompletionChunk,
    CompletionStream,
    ModelList,
    QStarClient,
    Response,
    ResponseStream,
    StreamEvent,
)

from .answers import CHAT, CHAT_CHUNKS, DONE, MODEL, RESPONSE, RESPONSE_EVENTS
from .conftest import COMPLETION, event

MESSAGES = [{"role": "user", "content": "x"}]


def answer(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    if b'"stream":true' in request.content:
        chunks = CHAT_CHUNKS if "chat" in path else [COMPLETION]
        events = RESPONSE_EVENTS if path == "/v1/responses" else [*map(event, chunks), DONE]
        return httpx.Response(200, content=b"".join(events))
    wholes = {
        "/v1/completions": COMPLETION,
        "/v1/chat/completions": CHAT,
        "/v1/models": {"data": [MODEL]},
        "/v1/responses": RESPONSE,
    }
    return httpx.Response(200, json=wholes[path])


@pytest.mark.parametrize("flag", [False, True])
def test_the_result_follows_from_stream(flag: bool) -> None:
    with QStarClient(transport=httpx.MockTransport(answer)) as client:
        models = client.models.list()
        assert_type(models, ModelList)
        completion = client.completions.create(prompt="x")
        assert_type(completion, Completion)
        chunks = client.completions.create(prompt="x", stream=True, temperature=0.5)
        assert_type(chunks, CompletionStream)
        assert_type(chunks.final(), Completion)
        either = client.completions.create(prompt=[1], stream=flag)
        assert_type(either, Completion | CompletionStream)
        chat = client.chat.completions.create(messages=MESSAGES, stream=False)
        assert_type(chat, ChatCompletion)
        chat_chunks = client.chat.completions.create(messages=MESSAGES, stream=True)
        assert_type(chat_chunks, ChatCompletionStream)
        chat_events = list(chat_chunks.events())
        assert_type(chat_events, list[StreamEvent])
        response = client.responses.create(input="x")
        assert_type(response, Response)
        assert_type(client.responses.create(input=MESSAGES, stream=True), ResponseStream)
    assert isinstance(either, Completion) is not flag


@pytest.mark.parametrize("flag", [False, True])
async def test_the_async_result_follows_from_stream(flag: bool) -> None:
    async with AsyncQStarClient(transport=httpx.MockTransport(answer)) as client:
        completion = await client.completions.create(prompt="x")
        assert_type(completion, Completion)
        stream = await client.completions.create(prompt="x", stream=True)
        assert_type(stream, AsyncCompletionStream)
        async for chunk in stream:
            assert_type(chunk, CompletionChunk)
        either = await client.completions.create(prompt="x", stream=flag)
        assert_type(either, Completion | AsyncCompletionStream)
        assert isinstance(either, Completion) is not flag

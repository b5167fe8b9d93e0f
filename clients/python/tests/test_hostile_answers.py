"""Both clients against answers that no honest server gives: each ends in the client's own error."""

import traceback
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from qstar_client import (
    APIStatusError,
    AuthenticationError,
    InvalidResponseError,
    QStarClientError,
    StreamError,
)

from .conftest import COMPLETION, Harness, event

NESTED = ["[" * 100_000, '{"error":' * 100_000, "[" * 100_000 + "]" * 100_000]
HINT = "does base_url point at a Quiet-STaR server"
ESCAPE = "\x1b[2J\x1b]0;title\x07 \u202e \x9b1m"


def answering(harness: Harness, response: httpx.Response, **kw: Any) -> Any:
    return harness.client(lambda _: response, max_retries=0, **kw)


async def open_stream(harness: Harness, client: Any) -> Any:
    return await harness.enter(client.completions.stream(prompt="x", model="m"))


@pytest.mark.parametrize("content", NESTED, ids=["list", "object", "closed list"])
@pytest.mark.parametrize("status", [400, 429, 500])
async def test_nested_json_in_an_error_is_a_status_error(
    harness: Harness, content: str, status: int
) -> None:
    """Python's own parser raises a RecursionError, which once reached the caller."""
    client = answering(harness, httpx.Response(status, text=content))
    with pytest.raises(APIStatusError) as caught:
        await harness.settle(client.models.list())
    assert caught.value.status_code == status
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("content", NESTED, ids=["list", "object", "closed list"])
async def test_nested_json_in_a_success_is_an_invalid_response(
    harness: Harness, content: str
) -> None:
    client = answering(harness, httpx.Response(200, text=content))
    calls: list[Callable[[], Any]] = [
        lambda: client.models.list(),
        lambda: client.completions.create(prompt="x", model="m"),
        lambda: client.chat.completions.create(messages=[], model="m"),
        lambda: client.responses.create(input="x", model="m"),
        lambda: client.tokenize(prompt="x"),
        lambda: client.detokenize(tokens=[1]),
    ]
    for call in calls:
        with pytest.raises(InvalidResponseError, match="recursion limit"):
            await harness.settle(call())


@pytest.mark.parametrize("content", NESTED, ids=["list", "object", "closed list"])
@pytest.mark.parametrize("name", ["", "event: error\n"])
async def test_nested_json_in_a_chunk_is_a_stream_error(
    harness: Harness, content: str, name: str
) -> None:
    client = answering(harness, httpx.Response(200, text=f"{name}data: {content}\n\n"))
    with pytest.raises(StreamError) as caught:
        await harness.next(client.completions.stream(prompt="x", model="m"))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "response",
    [
        {"html": "<html>data: x</html>"},
        {"json": COMPLETION},
        {"content": b"{}", "headers": {"content-type": "application/problem+json"}},
        {"content": b"<html>\n\n</html>"},
        {"content": b"{}"},
        {"content": b""},
        {"text": "data: <html>\n\n"},
    ],
    ids=["html", "json", "problem", "html undeclared", "json undeclared", "empty", "no chunk"],
)
async def test_what_is_no_stream_hints_at_base_url(
    harness: Harness, response: dict[str, Any]
) -> None:
    """It once said only that the stream ended early, without [DONE]."""
    client = answering(harness, httpx.Response(200, **response))
    with pytest.raises(QStarClientError, match=HINT):
        await harness.next(await open_stream(harness, client))
    with pytest.raises(QStarClientError, match=HINT):
        await harness.settle(
            (
                await harness.settle(client.responses.create(input="x", model="m", stream=True))
            ).final()
        )


async def test_a_stream_that_ends_early_does_not_blame_base_url(harness: Harness) -> None:
    client = answering(harness, httpx.Response(200, content=event(COMPLETION)))
    stream = await open_stream(harness, client)
    await harness.next(stream)
    with pytest.raises(StreamError) as caught:
        await harness.next(stream)
    assert "ended early" in str(caught.value)
    assert HINT not in str(caught.value)


async def test_a_refused_stream_is_closed(harness: Harness) -> None:
    response = httpx.Response(200, html="<html>")
    client = answering(harness, response)
    with pytest.raises(InvalidResponseError):
        await open_stream(harness, client)
    assert response.is_closed


@pytest.mark.parametrize(
    "content", [{"error": {"message": ESCAPE, "code": ESCAPE, "param": ESCAPE}}, ESCAPE]
)
async def test_an_error_does_not_drive_the_terminal(harness: Harness, content: object) -> None:
    client = answering(harness, httpx.Response(400, json=content))
    with pytest.raises(APIStatusError) as caught:
        await harness.settle(client.models.list())
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "␛[2J" in shown
    assert not any(sign in shown for sign in "\x1b\x07\x9b\u202e")
    client = answering(harness, httpx.Response(200, content=event({"error": {"message": ESCAPE}})))
    with pytest.raises(StreamError, match="␛"):
        await harness.next(await open_stream(harness, client))


async def test_a_key_that_the_server_repeats_is_masked(harness: Harness) -> None:
    body = {"error": {"message": "wrong key: sk-hunter22"}}
    client = answering(harness, httpx.Response(401, json=body), api_key="sk-hunter22")
    with pytest.raises(AuthenticationError, match=r"wrong key: \*\*\*") as caught:
        await harness.settle(client.models.list())
    assert "hunter22" not in repr(vars(caught.value))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(harness: Harness, status: int) -> None:
    """The target would get the prompt and the key."""
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, headers={"location": "http://evil.test/v1/completions"})

    client = harness.client(answer, api_key="sk-hunter22")
    with pytest.raises(APIStatusError, match=r"redirects to http://evil\.test.*; set base_url"):
        await harness.settle(client.completions.create(prompt="x", model="m"))
    assert [request.url.host for request in requests] == ["127.0.0.1"]


async def test_a_message_of_any_length_is_cut(harness: Harness) -> None:
    body = {"error": {"message": "x" * 1_000_000}}
    client = answering(harness, httpx.Response(400, json=body))
    with pytest.raises(APIStatusError) as caught:
        await harness.settle(client.models.list())
    assert len(str(caught.value)) < 2100
    assert caught.value.body == body

"""Both clients against a real server: streaming, silence, resets, early close, secrets."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from qstar_client import (
    APIConnectionError,
    APITimeoutError,
    AsyncQStarClient,
    QStarClient,
    QStarClientError,
    RateLimitError,
)

from .conftest import CHOICE, COMPLETION, Exchange, Harness, Script, WireServer, event

Serve = Callable[[Script], WireServer]
DONE = b"data: [DONE]\n\n"


def delta(text: str) -> bytes:
    return event({**COMPLETION, "choices": [{**CHOICE, "text": text, "finish_reason": None}]})


async def test_a_stream_cut_anywhere_arrives_whole(serve: Serve, harness: Harness) -> None:
    stream_bytes = b": ping\r\n\r\n" + delta("漢") + delta("🙂") + DONE

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        for i in range(0, len(stream_bytes), 7):
            exchange.send(stream_bytes[i : i + 7])
        exchange.send(b"")

    client = harness.client(base_url=serve(script).base_url)
    stream = client.completions.stream(prompt="x", model="m")
    assert (await harness.settle(stream.final())).choices[0].text == "漢🙂"


async def test_chunks_arrive_while_the_server_still_works(serve: Serve, harness: Harness) -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.send(delta("a"))
        server.release.wait(5)
        exchange.send(delta("b") + DONE)
        exchange.send(b"")

    server = serve(script)
    client = harness.client(base_url=server.base_url, timeout=5.0)
    stream = client.completions.stream(prompt="x", model="m")
    assert (await harness.next(stream)).choices[0].text == "a"
    assert not server.release.is_set()
    server.release.set()
    assert (await harness.next(stream)).choices[0].text == "b"
    assert await harness.next(stream) is None


async def test_leaving_a_stream_hangs_up(serve: Serve, harness: Harness) -> None:
    """The server aborts a generation when its client hangs up; else it would run to the end."""
    hung_up = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        try:
            while not server.release.wait(0.01):
                exchange.send(delta("a"))
        except OSError:
            hung_up.set()

    server = serve(script)
    stream = harness.client(base_url=server.base_url).completions.stream(prompt="x", model="m")
    await harness.enter(stream)
    await harness.next(stream)
    assert not hung_up.wait(0.05)
    await harness.leave(stream)
    assert await asyncio.to_thread(hung_up.wait, 5)


@pytest.mark.parametrize("is_started", [False, True], ids=["before headers", "within the stream"])
async def test_silence_times_out_and_is_not_repeated(
    serve: Serve, harness: Harness, is_started: bool
) -> None:
    def script(exchange: Exchange) -> None:
        if is_started:
            exchange.start_stream()
            exchange.send(delta("a"))
        server.release.wait(5)

    server = serve(script)
    client = harness.client(base_url=server.base_url, timeout=5.0)
    stream = client.completions.stream(prompt="x", model="m", timeout=0.1)
    with pytest.raises(APITimeoutError, match="did not respond in time"):
        await harness.settle(stream.final())
    assert server.requests == ["POST /v1/completions"]


async def test_a_silent_create_times_out_and_is_not_repeated(
    serve: Serve, harness: Harness
) -> None:
    def script(_: Exchange) -> None:
        server.release.wait(5)

    server = serve(script)
    client = harness.client(base_url=server.base_url, timeout=0.1)
    with pytest.raises(APITimeoutError):
        await harness.settle(client.completions.create(prompt="x", model="m"))
    assert server.requests == ["POST /v1/completions"]


async def test_a_body_cut_short_is_a_connection_error(serve: Serve, harness: Harness) -> None:
    def script(exchange: Exchange) -> None:
        exchange.start(200, {"content-length": "1000"})
        exchange.handler.wfile.write(b"{")

    server = serve(script)
    client = harness.client(base_url=server.base_url)
    with pytest.raises(APIConnectionError, match="broke"):
        await harness.settle(client.completions.create(prompt="x", model="m"))
    assert len(server.requests) == 1


async def test_a_stream_cut_within_a_chunk_is_a_connection_error(
    serve: Serve, harness: Harness
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.send(delta("a"))
        exchange.handler.wfile.write(b"ff\r\ndata")

    stream = harness.client(base_url=serve(script).base_url).completions.stream(
        prompt="x", model="m"
    )
    assert (await harness.next(stream)).choices[0].text == "a"
    with pytest.raises(APIConnectionError, match="broke"):
        await harness.next(stream)


async def test_nobody_listening(harness: Harness) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = harness.client(base_url=f"http://127.0.0.1:{port}", max_retries=0)
    with pytest.raises(APIConnectionError, match=f":{port}/.* is the server running"):
        await harness.settle(client.models.list())


async def test_a_retry_waits_as_told(serve: Serve, harness: Harness) -> None:
    times = []

    def script(exchange: Exchange) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            exchange.reply(429, {"error": "busy"}, {"retry-after": "0.6"})
        else:
            exchange.reply(200, COMPLETION)

    client = harness.client(base_url=serve(script).base_url)
    await harness.settle(client.completions.create(prompt="x", model="m"))
    assert times[1] - times[0] >= 0.6  # the client's own first delay is 0.5 s at most


async def test_key_and_prompt_stay_out_of_logs_and_errors(
    serve: Serve, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(lambda exchange: exchange.reply(429, {"error": "busy"}))
    client = harness.client(base_url=server.base_url, api_key="sk-hunter2", max_retries=0)
    with pytest.raises(RateLimitError) as caught:
        await harness.settle(client.completions.create(prompt="my diary", model="m"))
    with pytest.raises(RateLimitError):
        await harness.enter(client.completions.stream(prompt="my diary", model="m"))
    shown = caplog.text + repr(caught.value) + repr(vars(caught.value)) + repr(client)
    assert "/v1/completions" in caplog.text
    assert "sk-hunter2" not in shown
    assert "my diary" not in shown


def test_closing_the_client_is_final(serve: Serve) -> None:
    server = serve(lambda exchange: exchange.reply(200, {}))
    with QStarClient(base_url=server.base_url) as client:
        assert client.health()
    with pytest.raises(QStarClientError, match="client is closed"):
        client.health()


async def test_closing_the_async_client_is_final(serve: Serve) -> None:
    server = serve(lambda exchange: exchange.reply(200, {}))
    async with AsyncQStarClient(base_url=server.base_url) as client:
        assert await client.health()
    with pytest.raises(QStarClientError, match="client is closed"):
        await client.health()


async def test_cancelling_a_task_hangs_up(serve: Serve) -> None:
    hung_up = threading.Event()
    started = threading.Event()

    def script(exchange: Exchange) -> None:
        started.set()
        # A client that hangs up makes this blocking read return.
        if exchange.handler.rfile.read(1) == b"":
            hung_up.set()

    server = serve(script)
    async with AsyncQStarClient(base_url=server.base_url) as client:
        task = asyncio.create_task(client.completions.create(prompt="x", model="m"))
        assert await asyncio.to_thread(started.wait, 5)
        assert not hung_up.is_set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(hung_up.wait, 5)


async def test_cancelling_a_stream_hangs_up(serve: Serve) -> None:
    hung_up = threading.Event()
    started = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.send(delta("a"))
        started.set()
        if exchange.handler.rfile.read(1) == b"":
            hung_up.set()

    async def read(client: AsyncQStarClient) -> None:
        async for _ in client.completions.stream(prompt="x", model="m"):
            pass

    async with AsyncQStarClient(base_url=serve(script).base_url) as client:
        task = asyncio.create_task(read(client))
        assert await asyncio.to_thread(started.wait, 5)
        assert not hung_up.wait(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(hung_up.wait, 5)


async def test_leaving_a_loop_hangs_up(serve: Serve, harness: Harness) -> None:
    """Also without a `with` block, and while the variable still holds the stream."""
    hung_up = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.send(delta("a"))
        if exchange.handler.rfile.read(1) == b"":
            hung_up.set()

    client = harness.client(base_url=serve(script).base_url)
    stream = await harness.settle(client.completions.create(prompt="x", model="m", stream=True))
    if harness.is_async:
        async for _ in stream:
            break
    else:
        for _ in stream:
            break
    assert await asyncio.to_thread(hung_up.wait, 5)
    assert stream is not None


async def test_closing_the_client_ends_an_open_stream_with_our_error(
    serve: Serve, harness: Harness
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.send(delta("a"))
        server.release.wait(5)

    server = serve(script)
    client = harness.client(base_url=server.base_url, timeout=5.0)
    stream = client.completions.stream(prompt="x", model="m")
    await harness.next(stream)
    await harness.settle(client.close())
    with pytest.raises(APIConnectionError):
        await harness.next(stream)


def test_threads_share_a_client(serve: Serve) -> None:
    """Each gets its own answer, whole and streamed, by names that the server repeats."""

    def script(exchange: Exchange) -> None:
        body = json.loads(exchange.body)
        choice = {**CHOICE, "text": body["prompt"]}
        if body.get("stream"):
            exchange.start_stream()
            exchange.send(event({**COMPLETION, "choices": [choice]}) + DONE)
            exchange.send(b"")
        else:
            exchange.reply(200, {**COMPLETION, "choices": [choice]})

    with QStarClient(base_url=serve(script).base_url) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> bool:
            prompt = f"prompt {number}"
            if number % 2:
                whole = client.completions.create(prompt=prompt, model="m")
            else:
                whole = client.completions.stream(prompt=prompt, model="m").final()
            return whole.choices[0].text == prompt

        assert all(pool.map(ask, range(64)))

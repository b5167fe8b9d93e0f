"""Server-sent events of completions."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.server.byte_tokens import token_ids_of
from tests.server.fake_engine import SCRIPT, FakeEngine
from tests.server.wire import body, chunks_of, complete, joined, refused, stream


async def test_a_chunk_has_the_shape_of_a_response(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=3)
    assert set(chunks[0]) == {"id", "object", "created", "model", "choices"}
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert set(chunks[0]["choices"][0]) == {"index", "text", "logprobs", "finish_reason"}
    assert chunks[0]["choices"][0]["logprobs"] is None


async def test_id_and_created_are_constant(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=10, stream_options={"include_usage": True})
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


async def test_one_chunk_for_each_token(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=10)
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [
        "H", "", "é", " ", "", "", "", "😀", ",", " "
    ]  # fmt: skip


async def test_no_half_characters(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=100)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == SCRIPT
    assert all("\ufffd" not in chunk["choices"][0]["text"] for chunk in chunks)


async def test_each_choice_has_one_finish_reason_and_it_is_last(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, prompt=["A", "B"], n=3, max_tokens=4)
    finishes = Counter(
        choice["index"]
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["finish_reason"] is not None
    )
    assert finishes == dict.fromkeys(range(6), 1)
    assert {choice["text"] for choice in joined(chunks).values()} == {"Hé "}


async def test_usage_comes_last_without_choices_when_asked_for(client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"prompt": ["A", "BB"], "n": 2, "max_tokens": 3}
    chunks = await stream(client, stream_options={"include_usage": True}, **fields)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == (await complete(client, **fields))["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert all(chunk["choices"] for chunk in chunks[:-1])


async def test_continuous_usage_is_in_every_chunk(client: httpx.AsyncClient) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = await stream(client, max_tokens=3, stream_options=options)
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [1, 2, 3, 3]
    assert [chunk["usage"]["total_tokens"] for chunk in chunks] == [2, 3, 4, 4]


async def test_without_stream_options_there_is_no_usage(client: httpx.AsyncClient) -> None:
    assert all("usage" not in chunk for chunk in await stream(client, max_tokens=3))


@pytest.mark.parametrize("fields", [{}, {"stream": False}, {"stream": None}])
async def test_stream_options_outside_a_stream_are_refused(
    client: httpx.AsyncClient, fields: Any
) -> None:
    error = await refused(client, stream_options={"include_usage": True}, **fields)
    assert error["param"] == "stream_options"


async def test_null_stream_options_are_none(client: httpx.AsyncClient) -> None:
    assert (await complete(client, stream_options=None))["choices"]


async def test_characters_that_some_clients_take_for_line_ends_are_escaped(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.script = token_ids_of("a\r\n\u2028\u0085b")
    response = await client.post("/v1/completions", json=body(stream=True, max_tokens=11))
    assert response.text.isascii()
    assert "\r" not in response.text
    text = "".join(chunk["choices"][0]["text"] for chunk in chunks_of(response.text))
    assert text.startswith("a\r\n\u2028\u0085b")


async def test_a_failure_after_the_first_byte_is_an_error_frame_then_done(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.step_s = 0.02
    request = client.build_request(
        "POST", "/v1/completions", json=body(stream=True, max_tokens=400, ignore_eos=True)
    )
    sending = asyncio.create_task(client.send(request))
    while engine.num_open == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    engine.fail(RuntimeError("CUDA error, zqzqzq"))
    response = await sending
    assert response.status_code == 200
    chunks = chunks_of(response.text)
    assert chunks[0]["choices"][0]["text"] == "H"
    assert set(chunks[-1]["error"]) == {"message", "type", "param", "code"}
    assert chunks[-1]["error"]["code"] == "internal_error"
    assert "zqzqzq" not in response.text


async def test_a_finished_stream_aborts_nothing(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await stream(client, prompt=["A", "B"], max_tokens=2)
    await complete(client, prompt=["A", "B"], max_tokens=2)
    assert engine.aborted == []


async def test_a_refused_stream_is_a_plain_error(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    engine.is_full = True
    error = await refused(client, 429, stream=True)
    assert error["type"] == "rate_limit_error"

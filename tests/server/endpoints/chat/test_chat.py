"""Whole and streamed answers of `/v1/chat/completions`, in OpenAI's form."""

from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.server.byte_tokens import EOS, bytes_of, token_ids_of
from tests.server.endpoints.chat.wire import ask, joined, refused, stream
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine


async def test_a_whole_answer_has_openais_form(client: httpx.AsyncClient) -> None:
    whole = await ask(client)
    assert set(whole) == {"id", "object", "created", "model", "choices", "usage"}
    assert whole["object"] == "chat.completion"
    assert whole["model"] == MODEL
    assert whole["id"].startswith("chatcmpl-")
    (choice,) = whole["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": SCRIPT, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    prompt = "user: Hi\nassistant: "
    assert whole["usage"]["prompt_tokens"] == len(prompt)
    assert whole["usage"]["completion_tokens"] == len(SCRIPT.encode()) + 1
    ChatCompletion.model_validate(whole, strict=True)


async def test_chunks_have_openais_form(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=2)
    for chunk in chunks:
        assert set(chunk) == {"id", "object", "created", "model", "choices"}
        assert chunk["object"] == "chat.completion.chunk"
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "H"},
        {"content": "\ufffd"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "length"]
    assert all(choice["logprobs"] is None for choice in choices)


async def test_the_end_of_sequence_adds_no_content(client: httpx.AsyncClient) -> None:
    chunks = await stream(client)
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert len(contents) == 1 + len(SCRIPT.encode()) + 1, "role, a chunk per token, the end"
    assert contents[-2:] == ["s", None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


FORMS: list[dict[str, Any]] = [
    {},
    {"n": 3, "max_tokens": 9},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 3, "max_tokens": 5},
    {"show_thoughts": True},
    {"include_reasoning": True, "max_tokens": 4},
    {"include_reasoning": True, "num_thought_tokens": 0, "max_tokens": 4},
    {"return_token_ids": True, "show_thoughts": True, "logprobs": True, "n": 2},
    {"max_tokens": 0},
]


@pytest.mark.parametrize("fields", FORMS)
async def test_a_stream_adds_up_to_the_whole_answer(
    any_client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    given = {"seed": 1, "max_tokens": 20} | fields
    whole = await ask(any_client, **given)
    chunks = await stream(any_client, **given)
    choices = joined(chunks)
    for choice in whole["choices"]:
        streamed = choices[choice["index"]]
        for name in ("reasoning", "reasoning_content"):
            if name in choice["message"]:
                streamed["message"].setdefault(name, None)
        assert streamed == choice


async def test_usage_comes_last_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    chunks = await stream(client, max_tokens=3, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == (await ask(client, max_tokens=3))["usage"]
    chunks = await stream(
        client,
        max_tokens=3,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    )
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == [1, 1, 2, 3, 3, 3]


async def test_logprobs_have_each_tokens_own_bytes(client: httpx.AsyncClient) -> None:
    """é and the face are two and four tokens, which are no characters."""
    logprobs = (await ask(client, logprobs=True, top_logprobs=2))["choices"][0]["logprobs"]
    assert logprobs["refusal"] is None
    entries = logprobs["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in entries[:-1]) == SCRIPT.encode()
    assert bytes(entries[-1]["bytes"]) == bytes_of([EOS], skip_special_tokens=False)
    assert entries[0]["token"] == "H"
    assert entries[1]["token"] == "\ufffd"
    for entry in entries:
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        likely = [each["logprob"] for each in entry["top_logprobs"]]
        assert len(likely) == 2
        assert likely == sorted(likely, reverse=True)
    assert (await ask(client, logprobs=True))["choices"][0]["logprobs"]["content"][0][
        "top_logprobs"
    ] == []
    assert (await ask(client, logprobs=False))["choices"][0]["logprobs"] is None


async def test_tokens_can_be_named_by_their_ids(client: httpx.AsyncClient) -> None:
    fields = {"logprobs": True, "top_logprobs": 1, "return_tokens_as_token_ids": True}
    whole = await ask(client, max_tokens=1, **fields)
    (entry,) = whole["choices"][0]["logprobs"]["content"]
    assert entry["token"] == "token_id:72"
    assert entry["top_logprobs"][0]["token"] == "token_id:73"


async def test_token_ids_are_those_of_vllm(client: httpx.AsyncClient) -> None:
    whole = await ask(client, return_token_ids=True, max_tokens=2)
    assert whole["prompt_token_ids"] == token_ids_of("user: Hi\nassistant: ")
    assert whole["choices"][0]["token_ids"] == token_ids_of(SCRIPT)[:2]
    chunks = await stream(client, return_token_ids=True, max_tokens=2)
    assert chunks[0]["prompt_token_ids"] == whole["prompt_token_ids"]
    assert all("prompt_token_ids" not in chunk for chunk in chunks[1:])


async def test_the_answer_fills_the_context_unless_limited(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """Completions have a default of 16 tokens; chat has none."""
    await ask(client)
    assert engine.submitted[0].params.max_tokens is None
    whole = await ask(client, ignore_eos=True)
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["total_tokens"] == engine.model.max_model_len


@pytest.mark.parametrize("request_id", [None, "abc-1"])
async def test_a_request_id_becomes_part_of_the_id(
    client: httpx.AsyncClient, engine: FakeEngine, request_id: str | None
) -> None:
    whole = await ask(client, request_id=request_id)
    if request_id is not None:
        assert whole["id"] == "chatcmpl-abc-1"
    assert engine.submitted[0].request_id != "chatcmpl-abc-1"


async def test_shared_fields_reach_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await ask(
        client,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        stop=["x"],
        max_tokens=5,
        max_completion_tokens=9,
        priority=3,
        cache_salt="s",
        reasoning_effort="low",
        truncate_prompt_tokens=4,
    )
    (request,) = engine.submitted
    params = request.params
    assert (params.temperature, params.top_p, params.seed, params.stop) == (0.5, 0.9, 7, ("x",))
    assert (params.max_tokens, params.max_completion_tokens) == (5, 9)
    assert (request.priority, request.cache_salt) == (3, "s")
    assert params.num_thought_tokens == 2
    assert request.prompt_token_ids == token_ids_of("nt: ")


async def test_head_and_wrong_methods_are_in_the_envelope(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/chat/completions")
    assert response.status_code == 405
    assert response.json()["error"]["message"]


async def test_an_unknown_model_is_a_404(client: httpx.AsyncClient) -> None:
    error = await refused(client, 404, model="gpt-4o")
    assert error["code"] == "model_not_found"


async def test_unknown_fields_are_ignored_and_logged_once(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await ask(client, no_such_field=1, store=False, max_tokens=1)
    logged = [record.getMessage() for record in caplog.records if "ignoring" in record.message]
    assert logged == ["ignoring unknown request fields: 'no_such_field'"]

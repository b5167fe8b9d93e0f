"""What a client may rely on, whatever engine answers: run with the fake engine and the real one."""

import asyncio
from typing import Any

import httpx
import pytest
from qstar_server.generation.delta_stream import DeltaStream

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.sampling_params import SamplingParams
from tests.server.byte_tokens import START_THOUGHT, VOCAB_SIZE
from tests.server.wire import body, complete, joined, refused, stream

FREE: dict[str, Any] = {"max_tokens": 12, "seed": 5, "ignore_eos": True}
"""A request whose output is always as long as `max_tokens`."""


async def test_counts_are_those_of_the_tokens_and_thoughts(any_client: httpx.AsyncClient) -> None:
    fields = FREE | {"prompt": [[65, 66], [67]], "n": 2}
    whole = await complete(any_client, **fields, show_thoughts=True, return_token_ids=True)
    choices, usage = whole["choices"], whole["usage"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [choice["prompt_token_ids"] for choice in choices] == [[65, 66]] * 2 + [[67]] * 2
    assert {len(choice["token_ids"]) for choice in choices} == {12}
    assert {choice["finish_reason"] for choice in choices} == {"length"}
    assert usage["prompt_tokens"] == 3, "once for each prompt, not for each choice"
    assert usage["completion_tokens"] == 48
    assert usage["total_tokens"] == 51
    assert usage["completion_tokens_details"]["reasoning_tokens"] == sum(
        len(thought["thought_token_ids"]) for choice in choices for thought in choice["thoughts"]
    )


async def test_hidden_thoughts_change_nothing_else(any_client: httpx.AsyncClient) -> None:
    shown = await complete(any_client, **FREE, logprobs=2, show_thoughts=True)
    hidden = await complete(any_client, **FREE, logprobs=2)
    assert len(shown["choices"][0].pop("thoughts")) == 12
    assert hidden["choices"] == shown["choices"]
    assert hidden["usage"] == shown["usage"]


async def test_each_thought_belongs_to_its_token(any_client: httpx.AsyncClient) -> None:
    fields = FREE | {"logprobs": 0, "show_thoughts": True, "return_token_ids": True}
    choice = (await complete(any_client, **fields))["choices"][0]
    thoughts = choice["thoughts"]
    assert [thought["token_id"] for thought in thoughts] == choice["token_ids"]
    assert [thought["token"] for thought in thoughts] == choice["logprobs"]["tokens"]
    assert [thought["logprob"] for thought in thoughts] == choice["logprobs"]["token_logprobs"]
    assert all(len(thought["thought_token_ids"]) == 3 for thought in thoughts)
    assert any(thought["mixing_weight"] != 0 for thought in thoughts)


async def test_without_thinking_thoughts_are_empty(any_client: httpx.AsyncClient) -> None:
    whole = await complete(any_client, **FREE, show_thoughts=True, num_thought_tokens=0)
    for thought in whole["choices"][0]["thoughts"]:
        assert (thought["thought"], thought["thought_token_ids"]) == ("", [])
        assert thought["mixing_weight"] == 0
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 3},
        {"logprobs": 1, "echo": True, "max_tokens": 0, "prompt": "né"},
        {"logprobs": 1, "echo": True, "max_tokens": 1, "prompt": "né"},
        {"logprobs": 2, "echo": True, "n": 2, "prompt": ["né", "x"], "show_thoughts": True},
        {"echo": True, "max_tokens": 0},
        {"n": 3, "return_token_ids": True},
        {"max_tokens": 60, "skip_special_tokens": False, "logprobs": 0},
    ],
)
async def test_a_stream_adds_up_to_the_whole_response(
    any_client: httpx.AsyncClient, fields: Any
) -> None:
    fields = FREE | fields
    whole = await complete(any_client, **fields)
    usage = {"stream_options": {"include_usage": True}}
    chunks = await stream(any_client, **fields, **usage)
    choices = joined(chunks)
    assert [choices[choice["index"]] for choice in whole["choices"]] == whole["choices"]
    assert len(choices) == len(whole["choices"])
    assert chunks[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("fields", [{}, {"echo": True, "prompt": "né😀b"}])
async def test_tokens_begin_at_their_offsets(any_client: httpx.AsyncClient, fields: Any) -> None:
    """A token that is part of a character, or a left-out special token, has no text of its own."""
    fields = FREE | {"max_tokens": 60, "logprobs": 0} | fields
    choice = (await complete(any_client, **fields))["choices"][0]
    text, tokens = choice["text"], choice["logprobs"]["tokens"]
    offsets = choice["logprobs"]["text_offset"]
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] <= offsets[-1] <= len(text)
    characters = [
        (token, offset)
        for token, offset in zip(tokens, offsets, strict=True)
        if len(token) == 1 and token != "\ufffd"
    ]
    assert len(characters) > 10
    assert [(text[offset], offset) for _, offset in characters] == characters


async def test_an_echoed_prompt_is_scored_from_its_second_token(
    any_client: httpx.AsyncClient,
) -> None:
    fields = FREE | {"prompt": "AéB", "echo": True, "logprobs": 1}
    whole = await complete(any_client, **fields)
    logprobs = whole["choices"][0]["logprobs"]
    assert whole["choices"][0]["text"].startswith("AéB")
    assert logprobs["text_offset"][:5] == [0, 1, 1, 2, 3]
    assert logprobs["tokens"][:4] == ["A", "\ufffd", "\ufffd", "B"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert all(score <= 0 for score in logprobs["token_logprobs"][1:])
    assert {len(values) for values in logprobs.values()} == {4 + 12}
    thought_tokens = whole["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert thought_tokens == 3 * (3 + 12), "thoughts of scored prompt tokens count as well"


async def test_no_tokens_are_made_where_none_are_asked_for(any_client: httpx.AsyncClient) -> None:
    whole = await complete(any_client, max_tokens=0, echo=True)
    assert whole["choices"] == [
        {"index": 0, "text": "A", "logprobs": None, "finish_reason": "length"}
    ]
    assert whole["usage"]["completion_tokens"] == 0


async def test_a_seed_repeats_its_output(any_client: httpx.AsyncClient) -> None:
    first, second = [await complete(any_client, **FREE, logprobs=1) for _ in range(2)]
    assert first["choices"] == second["choices"]


async def test_a_text_and_its_token_ids_are_the_same_prompt(
    any_client: httpx.AsyncClient, any_engine: Engine
) -> None:
    token_ids = any_engine.encode("ABé", add_special_tokens=False)
    by_text, by_ids = [
        await complete(any_client, **FREE, prompt=prompt, echo=True)
        for prompt in ("ABé", token_ids)
    ]
    assert by_text["choices"] == by_ids["choices"]
    assert by_text["choices"][0]["text"].startswith("ABé")


async def test_prompts_in_one_request_do_not_change_each_other(
    any_client: httpx.AsyncClient,
) -> None:
    together = await complete(any_client, **FREE, prompt=["A", "BC"], logprobs=0)
    for choice, prompt in zip(together["choices"], ["A", "BC"], strict=True):
        alone = (await complete(any_client, **FREE, prompt=prompt, logprobs=0))["choices"][0]
        assert choice["text"] == alone["text"]
        assert choice["logprobs"]["tokens"] == alone["logprobs"]["tokens"]


async def test_best_of_returns_the_candidates_with_the_highest_mean_logprob(
    any_client: httpx.AsyncClient,
) -> None:
    fields = FREE | {"prompt": ["A", "B"], "logprobs": 0, "show_thoughts": True}
    candidates = await complete(any_client, **fields, n=4)
    best = await complete(any_client, **fields, best_of=4, n=2)

    def mean(choice: dict[str, Any]) -> float:
        logprobs = choice["logprobs"]["token_logprobs"]
        return float(sum(logprobs) / len(logprobs))

    wanted: list[dict[str, Any]] = []
    for first in (0, 4):
        of_prompt = candidates["choices"][first : first + 4]
        wanted += sorted(of_prompt, key=mean, reverse=True)[:2]
    assert best["choices"] == [choice | {"index": i} for i, choice in enumerate(wanted)]
    assert best["usage"] == candidates["usage"], "all candidates are counted"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": [VOCAB_SIZE]}, "prompt"),
        ({"prompt": [10**100]}, "prompt"),
        ({"prompt": [65, START_THOUGHT]}, "prompt"),
        ({"prompt": [[65], [VOCAB_SIZE]]}, "prompt"),
        ({"num_thought_tokens": 65}, "num_thought_tokens"),
        ({"thinking": {"where": "gate"}}, "thinking"),
        ({"thinking": {"where": "behind", "tokens": [VOCAB_SIZE]}}, "thinking"),
        ({"thinking": {"where": "behind", "tokens": [65, "no such token"]}}, "thinking"),
        ({"n": 129}, "n"),
        ({"prompt": ["A"] * 100, "n": 8}, "prompt"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_can_never_be_served_is_refused(
    any_client: httpx.AsyncClient, any_engine: Engine, fields: Any, param: str, is_stream: bool
) -> None:
    error = await refused(any_client, **fields, stream=is_stream)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert is_idle(any_engine), "all prompts of a request are served, or none"


async def test_a_request_beyond_the_context_is_refused_in_openais_words(
    any_client: httpx.AsyncClient, any_engine: Engine
) -> None:
    limit = any_engine.model.max_model_len
    error = await refused(any_client, max_tokens=limit)
    assert error["code"] == "context_length_exceeded"
    assert f"maximum context length is {limit} tokens" in error["message"]


async def test_leaving_a_stream_frees_its_requests(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted: list[str] = []
    abort = any_engine.abort

    def recorded_abort(request_id: str) -> None:
        aborted.append(request_id)
        abort(request_id)

    monkeypatch.setattr(any_engine, "abort", recorded_abort)
    params = SamplingParams(max_tokens=200, ignore_eos=True, n=2)
    requests = [
        any_engine.admit(EngineRequest(request_id=name, prompt_token_ids=[65], params=params))
        for name in ("leave-1", "leave-2")
    ]
    async with await DeltaStream.open(
        any_engine, requests, max_pending=1000, timeout_s=60
    ) as deltas:
        await anext(deltas)
    async with asyncio.timeout(20):
        while len(aborted) < 2 or not is_idle(any_engine):
            await asyncio.sleep(0.005)
    assert sorted(aborted) == ["leave-1", "leave-2"]


async def test_many_requests_at_once_are_all_answered(any_client: httpx.AsyncClient) -> None:
    alone = await complete(any_client, **FREE)
    responses = await asyncio.gather(
        *[any_client.post("/v1/completions", json=body(**FREE)) for _ in range(8)]
    )
    assert {response.json()["choices"][0]["text"] for response in responses} == {
        alone["choices"][0]["text"]
    }


def is_idle(engine: Engine) -> bool:
    stats = engine.stats()
    return stats.num_running == stats.num_waiting == 0

"""`POST /v1/completions`: lengths, choices, usage."""

from typing import Any

import httpx
import pytest

from tests.server.byte_tokens import token_ids_of
from tests.server.fake_engine import MODEL, SCRIPT, FakeEngine
from tests.server.wire import body, complete, refused

NUM_SCRIPT_TOKENS = len(token_ids_of(SCRIPT))


async def test_response_has_openais_keys_and_no_others(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=3)
    assert set(whole) == {"id", "object", "created", "model", "choices", "usage"}
    assert whole["object"] == "text_completion"
    assert whole["id"].startswith("cmpl-")
    assert whole["model"] == MODEL
    assert whole["choices"] == [
        {"index": 0, "text": "Hé", "logprobs": None, "finish_reason": "length"}
    ]


@pytest.mark.parametrize("fields", [{}, {"max_tokens": None}])
async def test_max_tokens_is_16_by_default(client: httpx.AsyncClient, fields: Any) -> None:
    whole = await complete(client, **fields)
    assert whole["usage"]["completion_tokens"] == 16
    assert whole["choices"][0]["finish_reason"] == "length"


async def test_end_of_sequence_is_counted_but_not_shown(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=100)
    assert whole["choices"][0]["text"] == SCRIPT
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == NUM_SCRIPT_TOKENS + 1


async def test_ignore_eos_goes_on_to_max_tokens(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=NUM_SCRIPT_TOKENS + 3, ignore_eos=True)
    assert whole["choices"][0]["text"] == SCRIPT + "H\ufffd"
    assert whole["choices"][0]["finish_reason"] == "length"


async def test_choices_are_numbered_prompt_by_prompt(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    whole = await complete(client, prompt=["A", "BB"], n=3, echo=True, max_tokens=1)
    assert [choice["index"] for choice in whole["choices"]] == list(range(6))
    assert [choice["text"] for choice in whole["choices"]] == ["AH"] * 3 + ["BBH"] * 3
    assert whole["usage"]["prompt_tokens"] == 3, "once a prompt, not once a choice"
    assert whole["usage"]["completion_tokens"] == 6
    assert whole["usage"]["total_tokens"] == 9
    assert len(engine.submitted) == 2


async def test_best_of_returns_the_best_and_counts_all_candidates(
    client: httpx.AsyncClient,
) -> None:
    """The fake engine's candidate j is more likely than candidate j - 1."""
    whole = await complete(client, best_of=4, n=2, max_tokens=2, logprobs=0)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    means = [sum(c["logprobs"]["token_logprobs"]) / 2 for c in whole["choices"]]
    token_logprobs = [-(token_id % 7 + 1.3) for token_id in token_ids_of(SCRIPT)[:2]]
    assert means == pytest.approx([sum(token_logprobs) / 8, sum(token_logprobs) / 6])
    assert whole["usage"]["completion_tokens"] == 8
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 24


async def test_best_of_is_ranked_within_each_prompt(client: httpx.AsyncClient) -> None:
    whole = await complete(client, prompt=["A", "B"], best_of=3, echo=True, max_tokens=1)
    assert [(c["index"], c["text"]) for c in whole["choices"]] == [(0, "AH"), (1, "BH")]


async def test_best_of_equal_to_n_changes_nothing(client: httpx.AsyncClient) -> None:
    plain = await complete(client, n=2, logprobs=1, max_tokens=2)
    assert (await complete(client, n=2, best_of=2, logprobs=1, max_tokens=2))["choices"] == plain[
        "choices"
    ]


@pytest.mark.parametrize("fields", [{"n": 2, "best_of": 1}, {"best_of": 0}, {"best_of": 21}])
async def test_best_of_out_of_range_is_rejected(client: httpx.AsyncClient, fields: Any) -> None:
    assert (await refused(client, **fields))["param"] == "best_of"


async def test_best_of_cannot_be_streamed(client: httpx.AsyncClient) -> None:
    assert (await refused(client, best_of=2, stream=True))["param"] == "best_of"


async def test_token_ids_are_returned_on_request(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt=[65, 66], return_token_ids=True, max_tokens=2))[
        "choices"
    ][0]
    assert choice["prompt_token_ids"] == [65, 66]
    assert choice["token_ids"] == token_ids_of(SCRIPT)[:2]


async def test_prompt_and_output_beyond_the_context_are_refused(client: httpx.AsyncClient) -> None:
    error = await refused(client, max_tokens=512)
    assert error["code"] == "context_length_exceeded"
    assert "maximum context length is 512 tokens" in error["message"]


async def test_an_empty_bearer_token_passes(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/completions", json=body(max_tokens=1), headers={"Authorization": "Bearer "}
    )
    assert response.status_code == 200

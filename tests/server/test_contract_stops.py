"""How an output ends, with the real engine: stop strings, stop tokens, end of sequence."""

from typing import Any

import httpx
import pytest

from tests.server.byte_tokens import EOS
from tests.server.wire import complete, joined, refused, stream

FREE: dict[str, Any] = {"max_tokens": 24, "seed": 5, "ignore_eos": True, "logprobs": 0}
ENDS_AT_ONCE: dict[str, Any] = {"max_tokens": 4, "logit_bias": {str(EOS): 100}}


async def choice_of(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """The only choice of a whole response, which its stream must add up to."""
    choice: dict[str, Any] = (await complete(client, **fields))["choices"][0]
    assert joined(await stream(client, **fields)) == {0: choice}
    return choice


async def free_text(client: httpx.AsyncClient) -> str:
    text = (await complete(client, **FREE))["choices"][0]["text"]
    assert len(text) > 8
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(("start", "length"), [(0, 1), (3, 2), (4, 4)])
async def test_a_stop_text_is_cut_off(
    real_client: httpx.AsyncClient, start: int, length: int
) -> None:
    free = await free_text(real_client)
    stop = free[start : start + length]
    choice = await choice_of(real_client, **FREE, stop=["no such text", stop])
    assert choice["text"] == free[: free.index(stop)]
    assert choice["finish_reason"] == "stop"


async def test_a_stop_text_stays_on_request(real_client: httpx.AsyncClient) -> None:
    free = await free_text(real_client)
    stop = free[3:5]
    choice = await choice_of(real_client, **FREE, stop=stop, include_stop_str_in_output=True)
    assert choice["text"] == free[: free.index(stop) + 2]


async def test_a_stop_text_in_the_echoed_prompt_does_not_stop(
    real_client: httpx.AsyncClient,
) -> None:
    fields = FREE | {"prompt": "STOP", "stop": "STOP", "echo": True}
    choice = await choice_of(real_client, **fields)
    assert choice["text"].startswith("STOP")
    assert (len(choice["text"]) > 4, choice["finish_reason"]) == (True, "length")


async def test_text_that_may_begin_a_stop_changes_nothing_once_it_does_not(
    real_client: httpx.AsyncClient,
) -> None:
    free = await free_text(real_client)
    plain = await choice_of(real_client, **FREE)
    held = await choice_of(real_client, **FREE, stop=[free[2:6] + "\u2603", free[-3:] + "\u2603"])
    assert held == plain


async def test_a_stop_token_ends_the_output(real_client: httpx.AsyncClient) -> None:
    free = (await complete(real_client, **FREE, return_token_ids=True))["choices"][0]["token_ids"]
    fields = FREE | {"stop_token_ids": [free[5]], "return_token_ids": True}
    choice = await choice_of(real_client, **fields)
    assert choice["token_ids"] == free[: free.index(free[5]) + 1]
    assert choice["finish_reason"] == "stop"


async def test_end_of_sequence_is_counted_but_not_shown(real_client: httpx.AsyncClient) -> None:
    whole = await complete(real_client, **ENDS_AT_ONCE)
    assert whole["choices"][0]["text"] == ""
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == 1


async def test_end_of_sequence_is_shown_on_request(real_client: httpx.AsyncClient) -> None:
    choice = await choice_of(real_client, **ENDS_AT_ONCE, skip_special_tokens=False)
    assert choice["text"] == "<eos>"


async def test_ignored_end_of_sequence_does_not_stop(real_client: httpx.AsyncClient) -> None:
    choice = await choice_of(real_client, **ENDS_AT_ONCE, ignore_eos=True, return_token_ids=True)
    assert choice["token_ids"] == [EOS] * 4
    assert choice["finish_reason"] == "length"


@pytest.mark.parametrize("fields", [{"logit_bias": {"260": 1}}, {"stop_token_ids": [260]}])
async def test_ids_outside_the_vocabulary_are_refused(
    real_client: httpx.AsyncClient, fields: Any
) -> None:
    assert (await refused(real_client, **fields))["param"] == next(iter(fields))


async def test_a_greedy_token_is_the_most_likely_one(real_client: httpx.AsyncClient) -> None:
    fields = FREE | {"temperature": 0, "logprobs": 3}
    logprobs = (await choice_of(real_client, **fields))["logprobs"]
    for logprob, top in zip(logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True):
        assert logprob == max(top.values())
        assert len(top) == 3

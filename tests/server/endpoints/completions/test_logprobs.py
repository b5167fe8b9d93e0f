"""`logprobs`, `echo` and `text_offset` of completions."""

import dataclasses
from typing import Any

import httpx
import pytest
from qstar_server.endpoints.completions.logprobs import check_repeated_scores
from qstar_server.generation.logprobs import finite_logprob

from qstar_infer.errors import RequestError
from tests.server.byte_tokens import BOS
from tests.server.fake_engine import FakeEngine
from tests.server.scripted_output import logprob_of
from tests.server.wire import complete, refused

ARRAYS = {"tokens", "token_logprobs", "top_logprobs", "text_offset"}


async def logprobs_of(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    logprobs = (await complete(client, **fields))["choices"][0]["logprobs"]
    assert set(logprobs) == ARRAYS
    assert len({len(values) for values in logprobs.values()}) == 1
    assert isinstance(logprobs, dict)
    return logprobs


async def test_0_reports_the_chosen_token_alone(client: httpx.AsyncClient) -> None:
    logprobs = await logprobs_of(client, logprobs=0, max_tokens=2)
    assert logprobs["token_logprobs"][0] == logprob_of(72, 0)
    assert logprobs["top_logprobs"][0] == {"H": logprob_of(72, 0)}


@pytest.mark.parametrize("value", [True, False, 6, -1, 1.0, "1", [1]])
async def test_values_other_than_0_to_5_are_refused(client: httpx.AsyncClient, value: Any) -> None:
    assert (await refused(client, logprobs=value))["param"] == "logprobs"


@pytest.mark.parametrize("k", [1, 5])
async def test_chosen_token_is_among_the_top_with_the_identical_float(
    client: httpx.AsyncClient, k: int
) -> None:
    logprobs = await logprobs_of(client, logprobs=k, max_tokens=100)
    for token, logprob, top in zip(
        logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True
    ):
        assert top[token] == logprob
        assert len(top) == k + 1


async def test_minus_infinity_is_written_as_minus_9999(client: httpx.AsyncClient) -> None:
    logprobs = await logprobs_of(client, logprobs=3, max_tokens=1)
    assert min(logprobs["top_logprobs"][0].values()) == -9999.0


async def test_tokens_with_the_same_text_are_all_kept(client: httpx.AsyncClient) -> None:
    """A token that is half a character shows as U+FFFD, and so do its neighbours.

    lm-eval calls a token greedy if no other in the dictionary is more likely, so none may be left
    out.
    """
    logprobs = await logprobs_of(client, logprobs=2, max_tokens=2)
    first_byte = "é".encode()[0]
    assert logprobs["top_logprobs"][1] == {
        "\ufffd": logprob_of(first_byte, 0),
        f"token_id:{first_byte + 1}": -0.25,
        f"token_id:{first_byte + 2}": -0.5,
    }


async def test_offsets_are_where_tokens_begin_in_the_text(client: httpx.AsyncClient) -> None:
    whole = await complete(client, logprobs=0, max_tokens=100)
    text, logprobs = whole["choices"][0]["text"], whole["choices"][0]["logprobs"]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        if token not in ("\ufffd", "</s>"):
            assert text[offset : offset + len(token)] == token
    assert logprobs["text_offset"][:9] == [0, 1, 1, 2, 3, 3, 3, 3, 4]
    assert logprobs["text_offset"][-1] == len(text), "the end of sequence has no characters"


async def test_offsets_go_on_after_an_echoed_prompt(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt="né😀b", echo=True, logprobs=0, max_tokens=3))[
        "choices"
    ][0]
    assert choice["text"] == "né😀bHé"
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2, 2, 2, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_echo_scores_the_prompt_and_then_the_output(
    client: httpx.AsyncClient, engine: FakeEngine, max_tokens: int
) -> None:
    prompt = [BOS, 65, 66, 67]
    logprobs = await logprobs_of(
        client, prompt=prompt, echo=True, logprobs=1, max_tokens=max_tokens, temperature=0
    )
    assert engine.submitted[0].params.prompt_logprobs == 1
    assert len(logprobs["tokens"]) == len(prompt) + max_tokens
    assert logprobs["tokens"][:4] == ["<s>", "A", "B", "C"]
    assert logprobs["text_offset"][:4] == [0, 0, 1, 2]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert None not in logprobs["token_logprobs"][1:]
    assert all(logprobs["top_logprobs"][1:])


async def test_prompt_thoughts_count_as_reasoning_tokens(client: httpx.AsyncClient) -> None:
    whole = await complete(client, prompt=[1, 2, 3], echo=True, logprobs=1, max_tokens=2)
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3 * (2 + 2)


async def test_echo_without_logprobs_does_not_score_the_prompt(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    whole = await complete(client, echo=True, max_tokens=0)
    assert engine.submitted[0].params.prompt_logprobs is None
    assert whole["choices"][0]["text"] == "A"
    assert whole["choices"][0]["logprobs"] is None


async def test_every_choice_has_the_echoed_logprobs(client: httpx.AsyncClient) -> None:
    whole = await complete(client, prompt=["AB", "C"], n=2, echo=True, logprobs=1, max_tokens=1)
    assert [choice["logprobs"]["tokens"] for choice in whole["choices"]] == [
        ["A", "B", "H"],
        ["A", "B", "H"],
        ["C", "H"],
        ["C", "H"],
    ]


async def test_a_short_request_for_very_many_scores_is_refused(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """A request of 2.5 KB got a response of 12.6 MB; a longer prompt got more."""
    engine.model = dataclasses.replace(engine.model, max_model_len=4096)
    fields: dict[str, Any] = {"prompt": [65] * 2049, "echo": True, "max_tokens": 0}
    error = await refused(client, n=128, logprobs=0, **fields)
    assert error["param"] == "n"
    assert "2049 prompt tokens 128 times; the most is 262144" in error["message"]
    assert engine.submitted == []
    assert len((await complete(client, n=128, **fields))["choices"]) == 128
    assert (await complete(client, logprobs=0, **fields))["choices"]


def test_scores_are_counted_where_choices_repeat_them() -> None:
    check_repeated_scores(2048, n=128)
    check_repeated_scores(10**6, n=1)
    with pytest.raises(RequestError):
        check_repeated_scores(2049, n=128)


@pytest.mark.parametrize("value", [float("-inf"), -10_000.0])
def test_a_logprob_that_json_cannot_carry_is_the_lowest(value: float) -> None:
    assert finite_logprob(value) == -9999.0


def test_a_nan_is_never_written_as_a_number() -> None:
    with pytest.raises(ValueError, match="NaN"):
        finite_logprob(float("nan"))


def test_any_other_logprob_is_itself() -> None:
    assert finite_logprob(-1.25) == -1.25

"""`logprobs`, `echo` and `text_offset` of completions."""

import dataclasses
from typing import Any

import httpx
import pytest
from qstar_server.completions.logprobs import check_repeated_scores
from qstar_server.completions.prompts import Prompt
from qstar_server.completions.protocol import CompletionRequest, CompletionResponse
from qstar_server.completions.response import PromptWriter

from qstar_infer.errors import RequestError
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.sampling_params import SamplingParams
from tests.server.fake_engine import (
    BOS,
    SCRIPT,
    FakeEngine,
    logprob_entry,
    logprob_of,
    token_ids_of,
)
from tests.server.wire import complete, joined, refused, stream

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

    lm-eval calls a token greedy if none in the dictionary is likelier: dropping one would lie.
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


async def test_offsets_do_not_depend_on_text_held_back_for_a_stop(
    client: httpx.AsyncClient,
) -> None:
    plain = await logprobs_of(client, logprobs=0, max_tokens=100)
    held = await logprobs_of(client, logprobs=0, max_tokens=100, stop=["é 😀?", "be or not!"])
    assert held == plain


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


def delta_of(index: int, token_id: int, *, is_first: bool = False) -> RequestOutput:
    """News of one choice of the prompt "AB"; the first delta brings the prompt's scores."""
    output = CompletionOutput(
        index=index,
        text=chr(token_id),
        token_ids=[token_id],
        logprobs=[logprob_entry(token_id, 0, 1)],
    )
    scores = [None, logprob_entry(66, 0, 1)] if is_first else None
    return RequestOutput(
        request_id="r", prompt_token_ids=[65, 66], outputs=[output], prompt_logprobs=scores
    )


def test_echoed_scores_are_shared_by_the_choices_and_not_copied(engine: FakeEngine) -> None:
    """Each of 128 choices had a deep copy, some made on the event loop: it stood for a second."""
    request = CompletionRequest(model="m", prompt="AB", n=2, echo=True, logprobs=1)
    writer = PromptWriter(
        engine, request, Prompt(text="AB", token_ids=[65, 66]), SamplingParams(n=2), first_index=0
    )
    choices = {}
    for index, token_id in [(0, 67), (1, 68)]:
        delta = delta_of(index, token_id, is_first=index == 0)
        assert writer.is_slow(delta), "it is written on a thread"
        (choices[index],) = writer.write(delta)
        later = delta_of(index, 69)
        assert not writer.is_slow(later)
        choices[index].extend(writer.write(later)[0])
    left, right = choices[0].logprobs, choices[1].logprobs
    assert left is not None
    assert right is not None
    assert (left.tokens, right.tokens) == (["A", "B", "C", "E"], ["A", "B", "D", "E"])
    assert left.top_logprobs[1] is right.top_logprobs[1]
    name = '"choices":[]'
    response = CompletionResponse(id="i", created=1, model=name, choices=[*choices.values()])
    assert response.to_bytes() == response.to_json().encode()


async def test_a_short_request_for_very_many_scores_is_refused(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """2.5 KB of request drew 12.6 MB of answer, and a longer prompt or context still more."""
    engine.model = dataclasses.replace(engine.model, max_model_len=4096)
    fields = {"prompt": [65] * 2049, "echo": True, "max_tokens": 0}
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


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": 3, "max_tokens": 100},
        {"logprobs": 0, "max_tokens": 100, "stop": ["not.", "to bx"]},
        {"logprobs": 1, "echo": True, "max_tokens": 0, "prompt": "né"},
        {"logprobs": 1, "echo": True, "max_tokens": 1, "prompt": "né"},
        {"logprobs": 2, "echo": True, "n": 2, "prompt": ["né", "x"], "show_thoughts": True},
        {"echo": True, "max_tokens": 0},
        {"max_tokens": 9, "n": 3, "return_token_ids": True},
        {"max_tokens": 100, "stop": "😀"},
    ],
)
async def test_stream_adds_up_to_the_whole_response(client: httpx.AsyncClient, fields: Any) -> None:
    whole = await complete(client, **fields)
    chunks = joined(await stream(client, **fields))
    assert [chunks[choice["index"]] for choice in whole["choices"]] == whole["choices"]
    assert len(chunks) == len(whole["choices"])


@pytest.mark.parametrize("stop", [None, ["b or", "z?"]])
async def test_offsets_are_true_where_bytes_are_no_characters(
    client: httpx.AsyncClient, engine: FakeEngine, stop: list[str] | None
) -> None:
    engine.script = list(b"a\xffb\xc3(\xc3\xc3\xa9\xf0\x9fz")
    choice = (await complete(client, logprobs=0, max_tokens=11, stop=stop))["choices"][0]
    assert choice["text"] == "a\ufffdb\ufffd(\ufffd\u00e9\ufffdz"
    assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8]


@pytest.mark.parametrize("stop", [None, ["no such text"]])
@pytest.mark.parametrize(
    ("prompt", "script"),
    [
        (b"\xe2\x82", b"\xacbcd"),
        (b"\xe2\x82", b"\x82\xacb"),
        (b"\xc3", b"\xa9bcd"),
        (b"ab\xc3", b"\xff\xa9b"),
        (b"a", b"b" + b"\xff" * 7 + b"\xe2\x82\xacc\xff\xffd"),
        (b"a", b"\x82" * 23 + b"b"),
    ],
)
async def test_offsets_are_true_behind_half_characters(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    stop: list[str] | None,
    prompt: bytes,
    script: bytes,
) -> None:
    """The half character that a prompt ended in was joined with the output's first bytes, and a
    long run of such bytes had its offsets go back."""
    engine.script = list(script)
    fields = {"prompt": list(prompt), "echo": True, "logprobs": 0, "max_tokens": len(script)}
    choice = (await complete(client, stop=stop, **fields))["choices"][0]
    text, logprobs = choice["text"], choice["logprobs"]
    assert text == prompt.decode(errors="replace") + script.decode(errors="replace")
    offsets = logprobs["text_offset"]
    assert offsets == sorted(offsets)
    for token, offset in zip(logprobs["tokens"], offsets, strict=True):
        if token != "\ufffd":
            assert text[offset] == token


async def test_the_script_has_characters_of_one_two_and_four_bytes() -> None:
    sizes = {len(character.encode()) for character in SCRIPT}
    assert sizes == {1, 2, 4}
    assert len(token_ids_of(SCRIPT)) < 100

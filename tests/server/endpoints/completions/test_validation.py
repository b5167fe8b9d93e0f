"""What a request may not hold. Each of these is a 400 that names the field."""

import logging
from typing import Any

import httpx
import pytest

from tests.server.wire import body, complete, error_of, refused

WRONG: dict[str, list[Any]] = {
    "model": [None, 1, ["m"]],
    "max_tokens": [True, -1, 1.0, 1e308, "16", [1]],
    "n": [0, -1, True, 1.0, "2", 10**1000],
    "temperature": [-0.1, 2.1, True, "1", [1], 10**400],
    "top_p": [-0.1, 1.1, True, "1"],
    "top_k": [-2, True, 1.5],
    "min_p": [-0.1, 1.1, True],
    "frequency_penalty": [-2.1, 2.1, True, "0"],
    "presence_penalty": [-2.1, 2.1, True],
    "repetition_penalty": [0, -1, 11, True],
    "seed": [2**63, -(2**63) - 1, True, 1.0, "1"],
    "min_tokens": [-1, 17, True],
    "stop": ["", [""], [1], 1, True, ["a"] * 33, "x" * 4097, {"a": "b"}],
    "stop_token_ids": [[-1], [True], [1.0], ["1"], 1, [0] * 4097],
    "logit_bias": [
        {"a": 1},
        {"-1": 1},
        {"1.0": 1},
        {" 1": 1},
        {"\u0661": 1},
        {"9" * 19: 1},
        {"1": 100.5},
        {"1": True},
        {"1": "1"},
        {"1": None},
        [1],
    ],
    "echo": [1, "true"],
    "stream": [1, "true"],
    "ignore_eos": [1],
    "skip_special_tokens": [0],
    "include_stop_str_in_output": [1],
    "add_special_tokens": [0],
    "return_token_ids": [1],
    "priority": [True, 1.0, "1", [1]],
    "cache_salt": [1, True, ["a"]],
    "request_id": [1, "", "a b", "x" * 129, "\u00e9", "a\n"],
    "truncate_prompt_tokens": [0, -2, 513, True, 1.0, "1"],
    "return_tokens_as_token_ids": [1],
    "prompt_logprobs": [-1, 6, True, 1.0],
    "logprobs": [-1, 6, True, 1.0],
    "allowed_token_ids": [[], [-1], [True], [1.0], ["1"], 1, [2**31], ["x"] * 9999],
    "bad_words": [[""], [1], "x", ["x" * 257], ["x"] * 1025, ["x"] * 4097],
    "response_format": [
        "text",
        {},
        {"type": "xml"},
        {"type": "structural_tag"},
        {"type": "json_schema"},
        {"type": "text", "json_schema": {"name": "a", "schema": {}}},
        {"type": "json_schema", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": []}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"x": "y" * 200_000}}},
    ],
    "structured_outputs": [
        "json",
        {"xml": "a"},
        {"regex": 1},
        {"regex": ""},
        {"regex": "a", "choice": ["b"]},
        {"regex": "a" * 200_000},
        {"choice": []},
        {"choice": [""]},
        {"choice": "ab"},
        {"choice": ["a" * 70_000, "b" * 70_000]},
        {"json": "no json"},
        {"json": "1"},
        {"json": [1]},
        {"json": {"x": "y" * 200_000}},
        {"json": '{"a":' * 50_000},
        {"json_object": 1},
    ],
    "user": [1],
    "stream_options": [True, [], {"include_usage": 1}],
    "chat_template_kwargs": [True, []],
    "thought_temperature": [True, -1],
    "think_threshold": [True, -0.1],
    "thinking": [
        True,
        "gate",
        [],
        {},
        {"where": "often"},
        {"where": None},
        {"where": "gate", "layer": 1},
        {"where": "gate", "tokens": ["?"]},
        {"where": "behind"},
        {"where": "behind", "tokens": None},
        {"where": "behind", "tokens": []},
        {"where": "behind", "tokens": "?"},
        {"where": "behind", "tokens": [True]},
        {"where": "behind", "tokens": [1.0]},
        {"where": "behind", "tokens": [-1]},
        {"where": "behind", "tokens": [""]},
        {"where": "behind", "tokens": [0] * 1025},
        {"where": "behind", "tokens": [0] * 4097},
        {"where": "behind", "tokens": ["x" * 10_000]},
        {"type": "disabled"},
    ],
}
UNSUPPORTED: dict[str, Any] = {
    "suffix": "x",
    "prompt_embeds": "AAAA",
    "guided_json": {},
    "guided_regex": "a",
    "regex": "a",
    "grammar": "start: /a/",
    "guided_anything_new": 1,
    "length_penalty": 0.5,
    "use_beam_search": True,
    "logits_processors": ["x"],
    "thinking_token_budget": 0,
    "no_repeat_ngram_size": False,
}
HARMLESS: dict[str, Any] = {
    "suffix": "",
    "bad_words": [],
    "response_format": {"type": "text"},
    "structured_outputs": {},
    "return_tokens_as_token_ids": False,
    "truncate_prompt_tokens": None,
    "length_penalty": 1.0,
    "dry_multiplier": 0.0,
    "typical_p": 1,
    "use_beam_search": False,
    "priority": -3,
    "cache_salt": "tenant",
    "guided_json": None,
    "prompt_logprobs": None,
    "include_reasoning": True,
    "request_id": "x",
    "user": "someone",
    "metadata": {"a": [1]},
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
async def test_wrong_values_are_refused_by_name(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    error = await refused(client, **{name: value})
    assert error["type"] == "invalid_request_error"
    assert error["param"] == name
    assert name in error["message"]
    assert len(error["message"]) < 3000


@pytest.mark.parametrize("name", ["model", "prompt"])
async def test_model_and_prompt_are_required(client: httpx.AsyncClient, name: str) -> None:
    fields = body(secret="hush")
    del fields[name]
    response = await client.post("/v1/completions", json=fields)
    assert response.status_code == 400
    error = error_of(response)
    assert error["param"] == name
    assert "hush" not in error["message"], "the input of a missing field is the whole body"


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED.items())
async def test_what_would_change_the_answer_is_refused(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    assert (await refused(client, **{name: value}))["param"] == name


async def test_what_changes_nothing_is_accepted(client: httpx.AsyncClient) -> None:
    assert (await complete(client, **HARMLESS))["choices"]


async def test_unknown_fields_are_logged_once_by_name(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="qstar_server")
    for _ in range(2):
        await complete(client, tenant="hush", max_tokens=1)
    assert [record.getMessage() for record in caplog.records] == [
        "ignoring unknown request fields: 'tenant'"
    ]


async def test_a_refused_field_is_not_logged_as_ignored(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Those with the prefix were, and 256 such names left no room for any that are ignored."""
    caplog.set_level(logging.WARNING, logger="qstar_server")
    await refused(client, **{f"guided_{number}": 1 for number in range(300)})
    await complete(client, guided_json=None, priority=0, tenant="hush", max_tokens=1)
    assert [record.getMessage() for record in caplog.records] == [
        "ignoring unknown request fields: 'tenant'"
    ]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["temperature", "max_tokens", "seed"])
async def test_numbers_that_json_does_not_have_are_refused(
    client: httpx.AsyncClient, name: str, number: str
) -> None:
    raw = f'{{"model": "fake/thinker", "prompt": "A", "{name}": {number}}}'
    headers = {"content-type": "application/json"}
    response = await client.post("/v1/completions", content=raw, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"model": "\\ud800"}',
        b'{"model": "fake/thinker", "prompt": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 10_000,
        b'{"model": "m", "prompt": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda raw: repr(raw[:20]),
)
async def test_what_is_not_a_json_object_is_refused(client: httpx.AsyncClient, raw: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await client.post("/v1/completions", content=raw, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json"


async def test_a_nul_character_is_text_like_any_other(client: httpx.AsyncClient) -> None:
    whole = await complete(client, prompt="a\0b", echo=True, max_tokens=0)
    assert whole["choices"][0]["text"] == "a\0b"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": 10**4300 - 1}, "max_tokens"),
        ({"num_thought_tokens": 10**4299}, "num_thought_tokens"),
        ({"num_thought_tokens": 10**4299, "reasoning_effort": "none"}, "num_thought_tokens"),
        ({"n": 10**4299, "best_of": 2}, "n"),
    ],
)
async def test_a_huge_integer_is_not_repeated(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    error = await refused(client, **fields)
    assert error["param"] == param
    assert len(error["message"]) < 200


@pytest.mark.parametrize("character", ["x", "\n", "é", "😀"])
async def test_many_errors_are_cut(client: httpx.AsyncClient, character: str) -> None:
    """Ten errors of 200 characters each were more than 2 kB, and of emojis more than 20 kB."""
    wrong = body(logit_bias={str(number): character * 110 for number in range(1000)})
    response = await client.post("/v1/completions", json=wrong)
    assert response.status_code == 400
    message = error_of(response)["message"]
    assert message.startswith("logit_bias.0: ")
    assert len(response.content) <= 2000
    if character == "x":
        num_listed = message.count("; ")
        assert message.endswith(f"and {1000 - num_listed} more")


@pytest.mark.parametrize("name", ["guided_" + "😀" * 400, "guided_" + '"' * 400])
async def test_a_name_is_cut_as_well(client: httpx.AsyncClient, name: str) -> None:
    response = await client.post("/v1/completions", json=body(**{name: 1}))
    assert response.status_code == 400
    assert len(response.content) <= 2000


async def test_a_million_wrong_items_are_refused_quickly_and_briefly(
    client: httpx.AsyncClient,
) -> None:
    """vLLM once responded to a 4 KB body with 23 MB of errors."""
    for fields in (
        {"prompt": ["x"] + [1] * 400_000},
        {"stop": [1] * 400_000},
        {"logit_bias": {str(i): "x" for i in range(50_000)}},
        {"chat_template_kwargs": {str(i): 1 for i in range(50_000)}},
        {"thinking": {str(i): 1 for i in range(50_000)}},
        {"thinking": {"where": "behind", "tokens": [None] * 200_000}},
        {"temperature": [[1] * 400_000]},
        {"user": {str(i): [1] for i in range(50_000)}},
    ):
        error = await refused(client, **fields)
        assert len(error["message"]) < 500


async def test_a_prompt_is_never_echoed_by_an_error(client: httpx.AsyncClient) -> None:
    error = await refused(client, prompt=["hush", 1], temperature=9)
    assert "hush" not in error["message"]

"""Fields of completions beyond OpenAI's: constraints, prompt scores, truncation, names, limits."""

import json
from typing import Any

import httpx
import jsonschema
import openai
import pytest
from qstar_server.settings.config import ServerConfig

from tests.parity.toy import byte_tokenizer
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.wire import complete, refused, stream

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "ok": {"type": "boolean"}},
    "required": ["n", "ok"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}
TOKENIZER = byte_tokenizer()


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return ids


async def choice_of(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    choice: dict[str, Any] = (await complete(client, **fields))["choices"][0]
    return choice


# --- structured output --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": FORMAT},
        {"structured_outputs": {"json": SCHEMA}},
        {"structured_outputs": {"json": json.dumps(SCHEMA)}},
    ],
)
async def test_a_schema_gives_json_that_is_valid(
    real_client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    for seed in range(3):
        choice = await choice_of(real_client, max_tokens=200, seed=seed, **fields)
        assert choice["finish_reason"] == "stop"
        jsonschema.validate(json.loads(choice["text"]), SCHEMA)


async def test_a_stream_has_the_same_text(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"response_format": FORMAT, "max_tokens": 200, "seed": 1}
    whole = await choice_of(real_client, **fields)
    chunks = await stream(real_client, **fields)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_json_object_begins_with_a_brace(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"response_format": {"type": "json_object"}, "max_tokens": 3}
    assert (await choice_of(real_client, **fields))["text"].startswith("{")


async def test_text_is_no_constraint(real_client: httpx.AsyncClient) -> None:
    free = await choice_of(real_client, seed=1)
    assert await choice_of(real_client, seed=1, response_format={"type": "text"}) == free
    assert await choice_of(real_client, seed=1, structured_outputs={"json_object": False}) == free


async def test_a_choice_a_regex_and_a_grammar(real_client: httpx.AsyncClient) -> None:
    for form, texts in (
        ({"choice": ["yes", "no"]}, {"yes", "no"}),
        ({"regex": "(yes|no)!"}, {"yes!", "no!"}),
        ({"grammar": 'root ::= "yes" | "no"'}, {"yes", "no"}),
    ):
        whole = await complete(real_client, n=4, seed=1, structured_outputs=form)
        assert {choice["text"] for choice in whole["choices"]} <= texts


async def test_echo_and_scores_with_a_form(real_client: httpx.AsyncClient) -> None:
    choice = await choice_of(
        real_client, prompt="Hi", echo=True, logprobs=2, structured_outputs={"choice": ["yes"]}
    )
    assert choice["text"] == "Hiyes"
    assert choice["logprobs"]["tokens"] == [*"Hi", *"yes"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "objekt"}},
                }
            },
            "response_format",
        ),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs"),
        (
            {"structured_outputs": {"json": {"type": "string", "pattern": "(?=a)"}}},
            "structured_outputs",
        ),
        ({"structured_outputs": {"grammar": "x" * 30_000}}, "structured_outputs"),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
        ),
        ({"structured_outputs": {"choice": ["a"]}, "allowed_token_ids": [1]}, "allowed_token_ids"),
        ({"allowed_token_ids": [10**6]}, "allowed_token_ids"),
        ({"allowed_token_ids": [260]}, "allowed_token_ids"),
    ],
)
async def test_what_the_engine_cannot_follow_is_a_400(
    real_client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    error = await refused(real_client, **fields)
    assert error["param"] == param
    assert len(error["message"]) < 2000


async def test_a_dead_end_is_a_400_that_says_why(real_client: httpx.AsyncClient) -> None:
    a = ids_of("a")[0]
    error = await refused(real_client, allowed_token_ids=[a], bad_words=["aa"])
    assert error["code"] == "no_token_allowed"
    assert "after 1 tokens" in error["message"]


async def test_a_dead_end_in_a_stream_is_an_error_chunk(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"allowed_token_ids": ids_of("a"), "bad_words": ["aa"]}
    chunks = await stream(real_client, **fields)
    assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == ["a"]
    assert chunks[-1]["error"]["code"] == "no_token_allowed"


# --- which tokens may come ----------------------------------------------------------------------


async def test_allowed_tokens_and_bad_words(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"allowed_token_ids": ids_of("ab"), "max_tokens": 40, "seed": 1}
    free = (await choice_of(real_client, **fields))["text"]
    assert set(free) == {"a", "b"}
    assert "ab" in free
    assert "ab" not in (await choice_of(real_client, bad_words=["ab"], **fields))["text"]


# --- the scores of a prompt ---------------------------------------------------------------------


async def test_prompt_logprobs_equal_those_of_an_echo(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"prompt": "Hello", "max_tokens": 1, "seed": 1}
    echoed = (await choice_of(real_client, echo=True, logprobs=3, **fields))["logprobs"]
    choice = await choice_of(real_client, prompt_logprobs=3, **fields)
    assert choice["logprobs"] is None
    assert len(choice["text"]) <= 1
    scores = choice["prompt_logprobs"]
    assert scores[0] is None
    assert len(scores) == 5
    for token_id, entry, text, logprob, top in zip(
        ids_of("Hello")[1:],
        scores[1:],
        echoed["tokens"][1:5],
        echoed["token_logprobs"][1:5],
        echoed["top_logprobs"][1:5],
        strict=True,
    ):
        own = entry[str(token_id)]
        assert (own["decoded_token"], own["logprob"]) == (text, logprob)
        assert sorted(each["logprob"] for each in entry.values()) == sorted(top.values())
        ranks = [each["rank"] for each in entry.values()]
        by_logprob = sorted(entry.values(), key=lambda each: -each["logprob"])
        assert [each["rank"] for each in by_logprob] == sorted(ranks)
        assert sorted(ranks)[:3] == [1, 2, 3]


@pytest.mark.parametrize(("shown", "echoed"), [(0, 4), (4, 0), (2, 2)])
async def test_each_shows_as_many_as_it_asks_for(
    real_client: httpx.AsyncClient, shown: int, echoed: int
) -> None:
    choice = await choice_of(
        real_client, prompt="Hello", echo=True, logprobs=echoed, prompt_logprobs=shown, seed=1
    )
    for entry in choice["prompt_logprobs"][1:]:
        assert shown <= len(entry) <= shown + 1
    for top in choice["logprobs"]["top_logprobs"][1:]:
        assert echoed <= len(top) <= echoed + 1


async def test_every_choice_of_a_stream_begins_with_the_scores(
    real_client: httpx.AsyncClient,
) -> None:
    fields: dict[str, Any] = {"prompt": ["Hi", "Yes"], "n": 2, "prompt_logprobs": 0, "seed": 1}
    whole = await complete(real_client, **fields)
    chunks = await stream(real_client, **fields)
    for choice in whole["choices"]:
        of_choice = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == choice["index"]]
        assert of_choice[0]["prompt_logprobs"] == choice["prompt_logprobs"]
        assert not any("prompt_logprobs" in later for later in of_choice[1:])


async def test_tokens_are_named_by_their_ids(real_client: httpx.AsyncClient) -> None:
    fields: dict[str, Any] = {"prompt": "Hi", "echo": True, "logprobs": 2, "return_token_ids": True}
    choice = await choice_of(real_client, return_tokens_as_token_ids=True, **fields)
    ids = choice["prompt_token_ids"] + choice["token_ids"]
    assert choice["logprobs"]["tokens"] == [f"token_id:{each}" for each in ids]
    for token, logprob, top in zip(
        choice["logprobs"]["tokens"],
        choice["logprobs"]["token_logprobs"],
        choice["logprobs"]["top_logprobs"],
        strict=True,
    ):
        assert top is None or top[token] == logprob
        assert top is None or all(name.startswith("token_id:") for name in top)


@pytest.mark.parametrize(("most", "is_allowed"), [(None, False), (10, True), (4, False)])
async def test_the_operator_says_how_many_logprobs(
    engine: FakeEngine, most: int | None, is_allowed: bool
) -> None:
    async with serving(engine, ServerConfig(max_logprobs=most)) as client:
        for name in ("logprobs", "prompt_logprobs"):
            if is_allowed:
                await complete(client, **{name: 10})
            error = await refused(client, **{name: 11 if is_allowed else 6})
            assert error["param"] == name
            assert f"0..{5 if most is None else most}" in error["message"]


# --- prompts that are cut, names of requests ----------------------------------------------------


@pytest.mark.parametrize(
    ("count", "kept"), [(1, "e"), (3, "cde"), (5, "abcde"), (9, "abcde"), (None, "abcde")]
)
@pytest.mark.parametrize("prompt", ["abcde", [97, 98, 99, 100, 101]])
async def test_the_last_tokens_of_a_prompt_are_kept(
    client: httpx.AsyncClient, prompt: Any, count: int | None, kept: str
) -> None:
    whole = await complete(
        client, prompt=prompt, truncate_prompt_tokens=count, echo=True, max_tokens=0
    )
    assert whole["choices"][0]["text"] == kept
    assert whole["usage"]["prompt_tokens"] == len(kept)


async def test_minus_one_leaves_room_for_the_output(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await refused(client, prompt=[65] * 600, max_tokens=12)
    whole = await complete(client, prompt=[65] * 600, max_tokens=12, truncate_prompt_tokens=-1)
    assert whole["usage"]["prompt_tokens"] == engine.model.max_model_len - 12
    assert engine.submitted[0].prompt_token_ids == [65] * 500


async def test_a_text_far_longer_than_the_context_can_be_cut(client: httpx.AsyncClient) -> None:
    text = "x" * 20_000
    assert (await refused(client, prompt=text))["code"] == "context_length_exceeded"
    whole = await complete(client, prompt=text, truncate_prompt_tokens=4)
    assert whole["usage"]["prompt_tokens"] == 4


async def test_a_request_id_names_the_response(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    first, second = [await complete(client, request_id="job-7") for _ in range(2)]
    assert first["id"] == second["id"] == "cmpl-job-7"
    ids = [request.request_id for request in engine.submitted]
    assert len(set(ids)) == 2, "another client may use the same id"


async def test_prompts_behind_a_wrong_one_are_not_tokenised(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """128 long prompts that are all refused once took seconds each."""
    await refused(client, prompt=["y" * 600] * 128, max_tokens=1)
    assert len(engine.encode_calls) == 1


# --- the official client ------------------------------------------------------------------------


def test_the_official_client_sends_them_as_extra_body(openai_client: openai.OpenAI) -> None:
    completion = openai_client.completions.create(
        model="fake/thinker",
        prompt="Hi",
        logprobs=1,
        extra_body={
            "prompt_logprobs": 1,
            "truncate_prompt_tokens": 2,
            "return_tokens_as_token_ids": True,
            "allowed_token_ids": [1, 2],
            "structured_outputs": {"choice": ["a"]},
            "request_id": "x1",
        },
    )
    assert completion.id == "cmpl-x1"
    choice = completion.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.tokens[0].startswith("token_id:")
    assert choice.model_extra is not None
    assert choice.model_extra["prompt_logprobs"][0] is None

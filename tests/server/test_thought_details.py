"""`thought_top_logprobs` and `show_passes`: alike at every endpoint, absent unless asked for.

Run with the fake engine, whose numbers are known, and with the real one.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.documented import Documented
from tests.server.endpoints.responses.wire import events_of
from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.in_process import serving
from tests.server.scripted_output import logprob_of
from tests.server.wire import chunks_of, error_of

BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "A", "add_special_tokens": False, "max_tokens": 6},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "A"}], "max_tokens": 6},
    "/v1/responses": {"input": "A", "max_output_tokens": 24},
}
"""By path: a request for 6 tokens."""
PLAIN = {
    *("thought", "thought_token_ids", "mixing_weight", "token", "token_id"),
    *("logprob", "base_logprob"),
}
ALTERNATIVES = {"top_logprobs", "base_top_logprobs"}
DETAILS = {"show_thoughts": True, "thought_top_logprobs": 4, "show_passes": True}

each_endpoint = pytest.mark.parametrize("path", BODIES)


def body(path: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "seed": 5, "ignore_eos": True} | BODIES[path] | fields


async def post(client: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    response = await client.post(path, json=body(path, **fields))
    assert response.status_code == 200, response.text
    return response


async def entries(client: httpx.AsyncClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    """The thoughts of a whole answer."""
    answer = (await post(client, path, **fields)).json()
    holder = answer if path == "/v1/responses" else answer["choices"][0]
    thoughts: list[dict[str, Any]] = holder["thoughts"]
    return thoughts


async def streamed(client: httpx.AsyncClient, path: str, **fields: Any) -> list[dict[str, Any]]:
    """The thoughts of a streamed answer."""
    text = (await post(client, path, stream=True, **fields)).text
    if path == "/v1/responses":
        holders = events_of(text)
        *_, last = holders
        assert last["response"]["thoughts"] == [t for h in holders for t in h.get("thoughts", [])]
    else:
        holders = [choice for chunk in chunks_of(text) for choice in chunk["choices"]]
    return [thought for holder in holders for thought in holder.get("thoughts", [])]


@each_endpoint
@pytest.mark.parametrize("read", [entries, streamed])
@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, PLAIN),
        ({"thought_top_logprobs": None, "show_passes": False}, PLAIN),
        ({"thought_top_logprobs": 2}, PLAIN | ALTERNATIVES),
        ({"thought_top_logprobs": 0}, PLAIN | ALTERNATIVES),
        ({"show_passes": True}, PLAIN | {"passes"}),
        ({"thought_top_logprobs": 2, "show_passes": True}, PLAIN | ALTERNATIVES | {"passes"}),
    ],
)
async def test_entries_have_what_was_asked_for_and_no_more(
    any_client: httpx.AsyncClient, path: str, read: Callable[..., Any], fields: Any, names: set[str]
) -> None:
    thoughts = await read(any_client, path, show_thoughts=True, **fields)
    assert len(thoughts) == 6
    for thought in thoughts:
        assert set(thought) == names
        for name in ALTERNATIVES & names:
            assert len(thought[name]) == fields["thought_top_logprobs"]
            logprobs = [each["logprob"] for each in thought[name]]
            assert logprobs == sorted(logprobs, reverse=True)
            assert all(set(each) == {"token", "token_id", "logprob"} for each in thought[name])


@each_endpoint
async def test_details_change_nothing_else(any_client: httpx.AsyncClient, path: str) -> None:
    with_details = await entries(any_client, path, **DETAILS)
    plain = await entries(any_client, path, show_thoughts=True)
    assert [{name: each[name] for name in PLAIN} for each in with_details] == plain


@each_endpoint
async def test_a_stream_has_the_same_details(any_client: httpx.AsyncClient, path: str) -> None:
    """But for passes, which depend on the time that steps take."""
    whole, chunks = (
        await entries(any_client, path, **DETAILS),
        await streamed(any_client, path, **DETAILS),
    )
    for each in (*whole, *chunks):
        assert each.pop("passes")["last"] >= 0
    assert whole == chunks


@each_endpoint
async def test_the_numbers_are_those_of_the_engine(client: httpx.AsyncClient, path: str) -> None:
    first, second, *_ = await entries(client, path, **DETAILS)
    assert first["token_id"] == 72
    assert first["top_logprobs"] == [
        {"token": "I", "token_id": 73, "logprob": -0.25},
        {"token": "J", "token_id": 74, "logprob": -0.5},
        {"token": "H", "token_id": 72, "logprob": logprob_of(72, 0)},
        {"token": "K", "token_id": 75, "logprob": -9999.0},
    ], "minus infinity is no JSON"
    assert [each["token"] for each in first["base_top_logprobs"]] == ["J", "K", "I", "L"]
    assert first["passes"] == {
        "first": 0,
        "last": 3,
        "draft": {"token": "H", "token_id": 72, "is_fed": True, "is_kept": True},
        "dropped": [],
    }
    assert second["passes"] == {
        "first": 4,
        "last": 7,
        "draft": {"token": "x", "token_id": 120, "is_fed": True, "is_kept": False},
        "dropped": [{"token": "x", "first": 5, "last": 7}],
    }


@each_endpoint
async def test_logprobs_beside_them_are_unchanged(any_client: httpx.AsyncClient, path: str) -> None:
    """The engine ranks the larger number of tokens once, for both fields."""
    likely: dict[str, dict[str, Any]] = {
        "/v1/completions": {"logprobs": 2},
        "/v1/chat/completions": {"logprobs": True, "top_logprobs": 2},
        "/v1/responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    }

    async def answer(**fields: Any) -> str:
        whole = (await post(any_client, path, **likely[path], **fields)).json()
        place = (
            [item["content"] for item in whole["output"]]
            if path == "/v1/responses"
            else [choice["logprobs"] for choice in whole["choices"]]
        )
        return json.dumps(place)

    assert await answer(**DETAILS | {"thought_top_logprobs": 5}) == await answer()
    assert await answer(**DETAILS | {"thought_top_logprobs": 1}) == await answer()


@each_endpoint
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"thought_top_logprobs": 1}, "thought_top_logprobs"),
        ({"thought_top_logprobs": 0, "show_thoughts": False}, "thought_top_logprobs"),
        ({"show_passes": True}, "show_passes"),
        ({"show_passes": True, "show_thoughts": None}, "show_passes"),
        ({"thought_top_logprobs": 21, "show_thoughts": True}, "thought_top_logprobs"),
        ({"thought_top_logprobs": -1, "show_thoughts": True}, "thought_top_logprobs"),
        ({"thought_top_logprobs": True, "show_thoughts": True}, "thought_top_logprobs"),
        ({"show_passes": 1, "show_thoughts": True}, "show_passes"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name(
    client: httpx.AsyncClient, path: str, fields: Any, name: str
) -> None:
    response = await client.post(path, json=body(path, **fields))
    assert (response.status_code, error_of(response)["param"]) == (400, name)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("fields", [{"thought_top_logprobs": 1}, {"show_passes": True}])
async def test_thoughts_as_text_have_no_details(
    client: httpx.AsyncClient, path: str, fields: Any
) -> None:
    response = await client.post(path, json=body(path, include_reasoning=True, **fields))
    assert (response.status_code, error_of(response)["param"]) == (400, next(iter(fields)))


@each_endpoint
@pytest.mark.parametrize("fields", [{"thought_top_logprobs": 0}, {"show_passes": True}])
async def test_an_operator_who_forbids_thoughts_forbids_details(
    engine: FakeEngine, path: str, fields: Any
) -> None:
    async with serving(engine, ServerConfig(allow_thoughts=False)) as client:
        response = await client.post(path, json=body(path, **fields))
    assert response.status_code == 403
    error = error_of(response)
    assert (error["param"], error["code"]) == (next(iter(fields)), "thoughts_forbidden")


@each_endpoint
@pytest.mark.parametrize(("most", "is_accepted"), [(40, True), (39, False)])
async def test_the_most_is_the_operators(
    engine: FakeEngine, path: str, most: int, is_accepted: bool
) -> None:
    fields = {"show_thoughts": True, "thought_top_logprobs": 40}
    async with serving(engine, ServerConfig(max_logprobs=most)) as client:
        response = await client.post(path, json=body(path, **fields))
    assert response.status_code == (200 if is_accepted else 400)


@each_endpoint
async def test_passes_of_the_real_engine_are_in_order(
    real_client: httpx.AsyncClient, path: str
) -> None:
    thoughts = await entries(real_client, path, **DETAILS)
    passes = [each["passes"] for each in thoughts]
    assert passes[0]["first"] == 0
    assert all(each["first"] <= each["last"] for each in passes)
    assert [each["last"] for each in passes] == sorted(each["last"] for each in passes)
    for thought in thoughts:
        draft = thought["passes"]["draft"]
        assert draft["is_kept"] == (draft["token_id"] == thought["token_id"])


@each_endpoint
async def test_details_are_as_documented(any_engine: Engine, path: str) -> None:
    async with serving(any_engine, ServerConfig()) as client:
        documented = await Documented.of(client)
        documented.check_request(path, body(path, **DETAILS))
        response = await post(client, path, **DETAILS)
        documented.check_response(path, "post", response)
    schemas = documented.document["components"]["schemas"]
    assert set(schemas["ThoughtEntry"]["properties"]) == PLAIN | ALTERNATIVES | {"passes"}
    assert set(schemas["ThoughtEntry"]["required"]) == PLAIN
    assert set(schemas["PassesEntry"]["required"]) == {"first", "last", "draft", "dropped"}
    assert set(schemas["DraftEntry"]["required"]) == {"token", "token_id", "is_fed", "is_kept"}
    assert set(schemas["DroppedEntry"]["required"]) == {"token", "first", "last"}
    assert set(schemas["LikelyToken"]["required"]) == {"token", "token_id", "logprob"}

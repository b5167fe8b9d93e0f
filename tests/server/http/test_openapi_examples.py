"""The examples of `/openapi.json` are right: each is run, and its answer is as described."""

import json
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError
from qstar_server.settings.config import ServerConfig

from tests.server.documented import Documented
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving

POSTS = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/tokenize",
    "/detokenize",
]
NEVER_FOUND = ["/v1/responses/{response_id}"]
"""No response is stored."""


async def test_every_post_has_examples(real_client: httpx.AsyncClient) -> None:
    documented = await Documented.of(real_client)
    posts = [path for path, method, _ in documented.operations() if method == "post"]
    assert sorted(posts) == sorted(POSTS)
    assert all(documented.examples(path) for path in posts)


@pytest.mark.parametrize("path", POSTS)
async def test_each_example_runs_and_its_answer_is_as_described(
    real_client: httpx.AsyncClient, path: str
) -> None:
    documented = await Documented.of(real_client)
    for name, body in documented.examples(path).items():
        documented.check_request(path, body)
        response = await real_client.post(path, json=body)
        assert response.status_code == 200, f"{name}: {response.text}"
        documented.check_response(path, "post", response)
        is_stream = response.headers["content-type"].startswith("text/event-stream")
        assert is_stream == bool(body.get("stream"))
        for data in _data(response.text) if is_stream else []:
            documented.check_event_data(path, data)


async def test_every_get_is_as_described(real_client: httpx.AsyncClient) -> None:
    documented = await Documented.of(real_client)
    for path, method, operation in documented.operations():
        if method != "get":
            continue
        url = path
        for parameter in operation.get("parameters", []):
            examples = parameter.get("examples", {"none": {"value": "x"}})
            (example,) = examples.values()
            url = url.replace(f"{{{parameter['name']}}}", quote(example["value"]))
        response = await real_client.get(url)
        assert response.status_code == (404 if path in NEVER_FOUND else 200), url
        documented.check_response(path, method, response)


async def test_only_what_the_server_can_run_is_shown(engine: FakeEngine) -> None:
    """A model without a template cannot answer, and an operator may forbid to show thoughts."""
    engine.model = replace(engine.model, chat_template=None)
    async with serving(engine, ServerConfig(allow_thoughts=False)) as client:
        documented = await Documented.of(client)
        assert documented.examples("/v1/chat/completions") == {}
        for path in POSTS:
            for body in documented.examples(path).values():
                assert (await client.post(path, json=body)).status_code == 200


async def test_the_schemas_are_schemas(client: httpx.AsyncClient) -> None:
    documented = await Documented.of(client)
    for path in POSTS:
        content = documented.document["paths"][path]["post"]["requestBody"]["content"]
        Draft202012Validator.check_schema(content["application/json"]["schema"])


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"prompt": [[]]}),
        ("/v1/completions", {"prompt": [-1]}),
        ("/v1/completions", {"n": 129}),
        ("/v1/completions", {"n": 0}),
        ("/v1/completions", {"temperature": 2.1}),
        ("/v1/completions", {"top_p": -0.1}),
        ("/v1/completions", {"logprobs": -1}),
        ("/v1/completions", {"best_of": 21}),
        ("/v1/completions", {"stop": [""]}),
        ("/v1/completions", {"stop": ["a"] * 33}),
        ("/v1/completions", {"logit_bias": {"1": 101}}),
        ("/v1/completions", {"reasoning_effort": "extreme"}),
        ("/v1/completions", {"max_tokens": -1}),
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"top_logprobs": -1}),
        ("/v1/chat/completions", {"max_completion_tokens": -1}),
        ("/v1/responses", {"input": []}),
        ("/v1/responses", {"max_output_tokens": 0}),
        ("/v1/responses", {"metadata": {"a" * 65: ""}}),
        ("/v1/responses", {"top_logprobs": -1}),
        ("/v1/responses", {"tools": [{"type": "web_search"}]}),
        ("/v1/messages", {"messages": []}),
        ("/v1/messages", {"max_tokens": 0}),
        ("/v1/messages", {"stop_sequences": [""]}),
        ("/v1/messages", {"thinking": {"type": "always"}}),
        ("/tokenize", {"messages": []}),
        ("/detokenize", {"tokens": [-1]}),
    ],
    ids=str,
)
async def test_what_is_refused_is_no_value_of_the_schema(
    client: httpx.AsyncClient, path: str, fields: dict[str, object]
) -> None:
    documented = await Documented.of(client)
    body = next(iter(documented.examples(path).values())) | fields
    assert (await client.post(path, json=body)).status_code == 400
    with pytest.raises(ValidationError):
        documented.check_request(path, body)


def _data(text: str) -> list[object]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]

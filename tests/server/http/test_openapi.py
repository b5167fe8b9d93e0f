"""`/openapi.json` says what the server takes and what it answers."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import qstar_server

from tests.server.wire import body, error_of

ANYWHERE = {"401", "403", "429", "503"}
"""Without a key, with a foreign Host header, with too many open requests of one key, overloaded."""
_BODY = {"400", "404", "408", "413", "415"} | ANYWHERE
ERRORS: dict[tuple[str, str], set[str]] = {
    ("/health", "get"): {"403", "503"},
    ("/health_generate", "get"): {"503"} | ANYWHERE,
    ("/metrics", "get"): ANYWHERE,
    ("/version", "get"): ANYWHERE,
    ("/v1/models", "get"): ANYWHERE,
    ("/v1/models/{model_id}", "get"): {"404"} | ANYWHERE,
    ("/tokenize", "post"): _BODY,
    ("/detokenize", "post"): _BODY,
    ("/tokenizer_info", "get"): ANYWHERE,
    ("/v1/completions", "post"): _BODY | {"504"},
    ("/v1/responses", "post"): _BODY | {"504"},
    ("/v1/responses/{response_id}", "get"): {"404"} | ANYWHERE,
    ("/v1/responses/{response_id}", "delete"): {"404"} | ANYWHERE,
    ("/v1/chat/completions", "post"): _BODY | {"504"},
    ("/v1/messages", "post"): _BODY | {"504"},
    ("/v1/messages/count_tokens", "post"): _BODY,
}


async def schema_of(client: httpx.AsyncClient) -> dict[str, Any]:
    schema = (await client.get("/openapi.json")).json()
    assert isinstance(schema, dict)
    return schema


def statuses_in_the_source() -> Iterator[int]:
    """The status of every `ApiError(status, ...)` of the server."""
    for path in Path(qstar_server.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "ApiError":
                continue
            if isinstance(status := node.args[0], ast.Constant):
                assert isinstance(status.value, int)
                yield status.value


async def test_the_request_is_described(client: httpx.AsyncClient) -> None:
    post = (await schema_of(client))["paths"]["/v1/completions"]["post"]
    fields = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"prompt", "show_thoughts", "logprobs"} <= set(fields)


async def test_every_status_is_described_and_no_other(client: httpx.AsyncClient) -> None:
    """There were none but FastAPI's own 422, which is never sent."""
    schema = await schema_of(client)
    described = {
        (path, method): set(operation["responses"]) - {"200", "default"}
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
    assert described == ERRORS
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_the_statuses_are_those_that_the_server_has() -> None:
    known = {int(status) for statuses in ERRORS.values() for status in statuses}
    assert set(statuses_in_the_source()) == known | {500}, "a 500 is described as the default"


@pytest.mark.parametrize(("path", "method"), ERRORS)
async def test_every_error_has_the_envelope(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    schema = await schema_of(client)
    responses = schema["paths"][path][method]["responses"]
    for status in ERRORS[path, method] | {"default"}:
        content = responses[status]["content"]["application/json"]["schema"]
        name = "MessagesErrorEnvelope" if path.startswith("/v1/messages") else "ErrorEnvelope"
        assert content == {"$ref": f"#/components/schemas/{name}"}


async def test_the_envelope_is_the_one_that_is_sent(client: httpx.AsyncClient) -> None:
    detail = (await schema_of(client))["components"]["schemas"]["ErrorDetail"]
    error = error_of(await client.post("/v1/completions", json=body(n=0)))
    assert set(error) == set(detail["properties"]) == set(detail["required"])

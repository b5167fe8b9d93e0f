"""`POST /v1/completions`: HTTP in, HTTP out."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.completions.protocol import CompletionRequest, CompletionResponse
from qstar_server.completions.serving import start_completion
from qstar_server.config import ServerConfig
from qstar_server.deps import ConfigDep, EngineDep, IgnoredFieldLogDep
from qstar_server.disconnect import until_disconnect
from qstar_server.error_schema import error_responses
from qstar_server.request_body import read_json_object
from qstar_server.sse import EventStream

router = APIRouter(responses=error_responses(400, 403, 404, 408, 413, 415, 429, 503))

_PATH = "/v1/completions"
# FastAPI does not know the body's type, because `read_json_object` reads it.
_SCHEMA_AT = "#/paths/~1v1~1completions/post/requestBody/content/application~1json/schema"
_BODY_SCHEMA = CompletionRequest.model_json_schema(ref_template=_SCHEMA_AT + "/$defs/{model}")
_OPENAPI = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}}
}


async def _completion_request(
    request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep
) -> CompletionRequest:
    fields = await read_json_object(
        request, max_bytes=config.max_body_bytes, timeout_s=config.body_timeout_s
    )
    completion = await anyio.to_thread.run_sync(CompletionRequest.model_validate, fields)
    ignored_fields.note(completion.model_extra if completion.model_extra is not None else {})
    return completion


CompletionRequestDep = Annotated[CompletionRequest, Depends(_completion_request)]


@router.post(_PATH, response_model=CompletionResponse, openapi_extra=_OPENAPI)
async def create_completion(
    request: Request,
    engine: EngineDep,
    config: ConfigDep,
    completion: CompletionRequestDep,
) -> Response:
    """Complete one or more prompts. With `stream`, respond with server-sent events."""
    if completion.stream:
        return EventStream(await start_completion(completion, engine, config=config), config)
    body = await until_disconnect(request, _whole_body(completion, engine, config=config))
    return Response(body, media_type="application/json")


async def _whole_body(
    completion: CompletionRequest, engine: Engine, *, config: ServerConfig
) -> bytes:
    job = await start_completion(completion, engine, config=config)
    return await job.response()

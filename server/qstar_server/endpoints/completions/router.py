"""`POST /v1/completions`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.endpoints.completions.examples import COMPLETION_EXAMPLES
from qstar_server.endpoints.completions.protocol import CompletionRequest, CompletionResponse
from qstar_server.endpoints.completions.serving import start_completion
from qstar_server.http.deps import ConfigDep, EngineDep
from qstar_server.http.disconnect import until_disconnect
from qstar_server.http.error_schema import error_responses
from qstar_server.http.json_body import json_body
from qstar_server.http.openapi import event_stream, json_request
from qstar_server.http.sse import EventStream
from qstar_server.settings.config import ServerConfig

router = APIRouter(responses=error_responses(400, 404, 408, 413, 415, 504))

_PATH = "/v1/completions"
CompletionRequestDep = Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]


@router.post(
    _PATH,
    response_model=CompletionResponse,
    responses=event_stream(_PATH, CompletionResponse),
    openapi_extra=json_request(_PATH, CompletionRequest, COMPLETION_EXAMPLES),
)
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

"""`/v1/responses`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response as HttpResponse

from qstar_infer.engine.protocol import Engine
from qstar_server.endpoints.responses.events import StreamEvent
from qstar_server.endpoints.responses.examples import RESPONSES_EXAMPLES
from qstar_server.endpoints.responses.protocol import ResponsesRequest
from qstar_server.endpoints.responses.refused_fields import without_refused
from qstar_server.endpoints.responses.resource import Response
from qstar_server.endpoints.responses.serving import start_response
from qstar_server.http.deps import ConfigDep, EngineDep
from qstar_server.http.disconnect import until_disconnect
from qstar_server.http.error_schema import error_responses
from qstar_server.http.errors import ApiError
from qstar_server.http.json_body import json_body
from qstar_server.http.openapi import event_stream, json_request
from qstar_server.http.sse import EventStream
from qstar_server.settings.config import ServerConfig

router = APIRouter()

_PATH = "/v1/responses"
ResponsesRequestDep = Annotated[
    ResponsesRequest, Depends(json_body(ResponsesRequest, without_known=without_refused))
]


@router.post(
    _PATH,
    response_model=Response,
    openapi_extra=json_request(_PATH, ResponsesRequest, RESPONSES_EXAMPLES),
    responses=event_stream(_PATH, StreamEvent, is_named=True)
    | error_responses(400, 404, 408, 413, 415, 504),
)
async def create_response(
    request: Request, engine: EngineDep, config: ConfigDep, parsed: ResponsesRequestDep
) -> HttpResponse:
    """Answer a conversation. With `stream`, respond with named server-sent events."""
    if parsed.stream:
        job, form = await start_response(parsed, engine, config=config)
        return EventStream(job, config, form=form)
    body = await until_disconnect(request, _whole_body(parsed, engine, config=config))
    return HttpResponse(body, media_type="application/json")


@router.get(_PATH + "/{response_id}", status_code=404, responses=error_responses(404))
async def get_response(response_id: str) -> None:
    """Always a 404: this server stores no responses."""
    raise _not_stored(response_id)


@router.delete(_PATH + "/{response_id}", status_code=404, responses=error_responses(404))
async def delete_response(response_id: str) -> None:
    """Always a 404: this server stores no responses."""
    raise _not_stored(response_id)


async def _whole_body(request: ResponsesRequest, engine: Engine, *, config: ServerConfig) -> bytes:
    job, _ = await start_response(request, engine, config=config)
    return await job.response()


def _not_stored(response_id: str) -> ApiError:
    return ApiError(
        404,
        f"There is no response {response_id[:100]!r}: this server stores none.",
        param="response_id",
        code="response_not_found",
    )

"""`/v1/responses`: HTTP in, HTTP out."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response as HttpResponse

from qstar_infer.engine.protocol import Engine
from qstar_server.config import ServerConfig
from qstar_server.deps import ConfigDep, EngineDep, IgnoredFieldLogDep
from qstar_server.disconnect import until_disconnect
from qstar_server.error_schema import error_responses
from qstar_server.errors import ApiError
from qstar_server.frames import StreamForm
from qstar_server.request_body import read_json_object
from qstar_server.responses.protocol import ResponsesRequest
from qstar_server.responses.refused_fields import without_refused
from qstar_server.responses.resource import Response
from qstar_server.responses.serving import start_response
from qstar_server.sse import EventStream

router = APIRouter()

_PATH = "/v1/responses"
# FastAPI does not know the body's type, because `read_json_object` reads it.
_SCHEMA_AT = "#/paths/~1v1~1responses/post/requestBody/content/application~1json/schema"
_BODY_SCHEMA = ResponsesRequest.model_json_schema(ref_template=_SCHEMA_AT + "/$defs/{model}")
_OPENAPI = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}}
}


async def _responses_request(
    request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep
) -> ResponsesRequest:
    fields = await read_json_object(
        request, max_bytes=config.max_body_bytes, timeout_s=config.body_timeout_s
    )
    parsed = await anyio.to_thread.run_sync(ResponsesRequest.model_validate, fields)
    extra_fields = parsed.model_extra if parsed.model_extra is not None else {}
    ignored_fields.note(without_refused(extra_fields))
    return parsed


ResponsesRequestDep = Annotated[ResponsesRequest, Depends(_responses_request)]


@router.post(
    _PATH,
    response_model=Response,
    openapi_extra=_OPENAPI,
    responses=error_responses(400, 403, 404, 408, 413, 415, 429, 503),
)
async def create_response(
    request: Request, engine: EngineDep, config: ConfigDep, parsed: ResponsesRequestDep
) -> HttpResponse:
    """Answer a conversation. With `stream`, respond with named server-sent events."""
    if parsed.stream:
        job, renderer = await start_response(parsed, engine, config=config)
        form = StreamForm(
            opening=renderer.opening_frames(), failure=renderer.failure_frames, end=()
        )
        return EventStream(job, config, form=form)
    body = await until_disconnect(request, _whole_body(parsed, engine, config=config))
    return HttpResponse(body, media_type="application/json")


@router.get(_PATH + "/{response_id}", responses=error_responses(404))
async def get_response(response_id: str) -> None:
    """Always a 404: this server stores no responses."""
    raise _not_stored(response_id)


@router.delete(_PATH + "/{response_id}", responses=error_responses(404))
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

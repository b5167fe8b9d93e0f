"""`/v1/messages`: HTTP in, HTTP out."""

from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.config import ServerConfig
from qstar_server.deps import ConfigDep, EngineDep, IgnoredFieldLogDep
from qstar_server.disconnect import until_disconnect
from qstar_server.frames import StreamForm
from qstar_server.messages.error_schema import messages_error_responses
from qstar_server.messages.protocol import CountTokensRequest, MessagesRequest
from qstar_server.messages.refused_fields import without_refused
from qstar_server.messages.resource import MessageResource, TokenCount
from qstar_server.messages.serving import count_tokens, start_message
from qstar_server.request_body import read_json_object
from qstar_server.sse import EventStream
from qstar_server.unsupported_fields import IgnoredFieldLog

router = APIRouter()

_Parsed = TypeVar("_Parsed", bound=CountTokensRequest)


def _openapi(model: type[BaseModel], *, path: str) -> dict[str, Any]:
    # FastAPI does not know the body's type, because `read_json_object` reads it.
    place = path.replace("/", "~1")
    at = f"#/paths/{place}/post/requestBody/content/application~1json/schema"
    schema = model.model_json_schema(ref_template=at + "/$defs/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def _parse(
    model: type[_Parsed], request: Request, config: ServerConfig, ignored_fields: IgnoredFieldLog
) -> _Parsed:
    fields = await read_json_object(
        request, max_bytes=config.max_body_bytes, timeout_s=config.body_timeout_s
    )
    parsed = await anyio.to_thread.run_sync(model.model_validate, fields)
    extra_fields = parsed.model_extra if parsed.model_extra is not None else {}
    ignored_fields.note(without_refused(extra_fields))
    return parsed


async def _messages_request(
    request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep
) -> MessagesRequest:
    return await _parse(MessagesRequest, request, config, ignored_fields)


async def _count_tokens_request(
    request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep
) -> CountTokensRequest:
    return await _parse(CountTokensRequest, request, config, ignored_fields)


MessagesRequestDep = Annotated[MessagesRequest, Depends(_messages_request)]
CountTokensRequestDep = Annotated[CountTokensRequest, Depends(_count_tokens_request)]


@router.post(
    "/v1/messages",
    response_model=MessageResource,
    openapi_extra=_openapi(MessagesRequest, path="/v1/messages"),
    responses=messages_error_responses(400, 403, 404, 408, 413, 415, 429, 503),
)
async def create_message(
    request: Request, engine: EngineDep, config: ConfigDep, parsed: MessagesRequestDep
) -> Response:
    """Answer a conversation. With `stream`, respond with named server-sent events."""
    if parsed.stream:
        job, renderer = await start_message(parsed, engine, config=config)
        form = StreamForm(failure=renderer.failure_frames, end=())
        return EventStream(job, config, form=form)
    body = await until_disconnect(request, _whole_body(parsed, engine, config=config))
    return Response(body, media_type="application/json")


@router.post(
    "/v1/messages/count_tokens",
    openapi_extra=_openapi(CountTokensRequest, path="/v1/messages/count_tokens"),
    responses=messages_error_responses(400, 404, 408, 413, 415, 503),
)
async def count_message_tokens(engine: EngineDep, parsed: CountTokensRequestDep) -> TokenCount:
    """How many tokens the prompt of a message would have."""
    return TokenCount(input_tokens=await count_tokens(parsed, engine))


async def _whole_body(request: MessagesRequest, engine: Engine, *, config: ServerConfig) -> bytes:
    job, _ = await start_message(request, engine, config=config)
    return await job.response()

"""`/v1/messages`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.endpoints.messages.error_schema import messages_error_responses
from qstar_server.endpoints.messages.events import StreamEvent
from qstar_server.endpoints.messages.examples import COUNT_TOKENS_EXAMPLES, MESSAGES_EXAMPLES
from qstar_server.endpoints.messages.protocol import CountTokensRequest, MessagesRequest
from qstar_server.endpoints.messages.refused_fields import without_refused
from qstar_server.endpoints.messages.resource import MessageResource, TokenCount
from qstar_server.endpoints.messages.serving import count_tokens, start_message
from qstar_server.http.deps import ConfigDep, EngineDep
from qstar_server.http.disconnect import until_disconnect
from qstar_server.http.json_body import json_body
from qstar_server.http.openapi import event_stream, json_request
from qstar_server.http.sse import EventStream
from qstar_server.settings.config import ServerConfig

router = APIRouter()

_PATH = "/v1/messages"
_COUNT_PATH = "/v1/messages/count_tokens"
MessagesRequestDep = Annotated[
    MessagesRequest, Depends(json_body(MessagesRequest, without_known=without_refused))
]
CountTokensRequestDep = Annotated[
    CountTokensRequest, Depends(json_body(CountTokensRequest, without_known=without_refused))
]


@router.post(
    _PATH,
    response_model=MessageResource,
    openapi_extra=json_request(_PATH, MessagesRequest, MESSAGES_EXAMPLES),
    responses=event_stream(_PATH, StreamEvent, is_named=True)
    | messages_error_responses(400, 404, 408, 413, 415, 504),
)
async def create_message(
    request: Request, engine: EngineDep, config: ConfigDep, parsed: MessagesRequestDep
) -> Response:
    """Answer a conversation. With `stream`, respond with named server-sent events."""
    if parsed.stream:
        job, form = await start_message(parsed, engine, config=config)
        return EventStream(job, config, form=form)
    body = await until_disconnect(request, _whole_body(parsed, engine, config=config))
    return Response(body, media_type="application/json")


@router.post(
    _COUNT_PATH,
    openapi_extra=json_request(_COUNT_PATH, CountTokensRequest, COUNT_TOKENS_EXAMPLES),
    responses=messages_error_responses(400, 404, 408, 413, 415, 503),
)
async def count_message_tokens(engine: EngineDep, parsed: CountTokensRequestDep) -> TokenCount:
    """How many tokens the prompt of a message would have."""
    return TokenCount(input_tokens=await count_tokens(parsed, engine))


async def _whole_body(request: MessagesRequest, engine: Engine, *, config: ServerConfig) -> bytes:
    job, _ = await start_message(request, engine, config=config)
    return await job.response()

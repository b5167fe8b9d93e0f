"""`POST /v1/chat/completions`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.endpoints.chat.examples import CHAT_EXAMPLES
from qstar_server.endpoints.chat.protocol import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
)
from qstar_server.endpoints.chat.serving import start_chat
from qstar_server.endpoints.chat.unsupported_fields import without_known_fields
from qstar_server.http.deps import ConfigDep, EngineDep
from qstar_server.http.disconnect import until_disconnect
from qstar_server.http.error_schema import error_responses
from qstar_server.http.json_body import json_body
from qstar_server.http.openapi import event_stream, json_request
from qstar_server.http.sse import EventStream
from qstar_server.settings.config import ServerConfig

router = APIRouter(responses=error_responses(400, 404, 408, 413, 415, 504))

_PATH = "/v1/chat/completions"
ChatRequestDep = Annotated[
    ChatCompletionRequest,
    Depends(json_body(ChatCompletionRequest, without_known=without_known_fields)),
]


@router.post(
    _PATH,
    response_model=ChatCompletion,
    responses=event_stream(_PATH, ChatCompletionChunk),
    openapi_extra=json_request(_PATH, ChatCompletionRequest, CHAT_EXAMPLES),
)
async def create_chat_completion(
    request: Request, engine: EngineDep, config: ConfigDep, chat: ChatRequestDep
) -> Response:
    """Answer a conversation. With `stream`, respond with server-sent events."""
    if chat.stream:
        return EventStream(await start_chat(chat, engine, config=config), config)
    body = await until_disconnect(request, _whole_body(chat, engine, config=config))
    return Response(body, media_type="application/json")


async def _whole_body(
    chat: ChatCompletionRequest, engine: Engine, *, config: ServerConfig
) -> bytes:
    job = await start_chat(chat, engine, config=config)
    return await job.response()

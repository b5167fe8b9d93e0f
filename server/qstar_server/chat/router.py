"""`POST /v1/chat/completions`: HTTP in, HTTP out."""

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.chat.protocol import ChatCompletion, ChatCompletionRequest
from qstar_server.chat.serving import start_chat
from qstar_server.chat.unsupported_fields import without_known_fields
from qstar_server.config import ServerConfig
from qstar_server.deps import ConfigDep, EngineDep, IgnoredFieldLogDep
from qstar_server.disconnect import until_disconnect
from qstar_server.error_schema import error_responses
from qstar_server.request_body import read_json_object
from qstar_server.sse import EventStream

router = APIRouter(responses=error_responses(400, 403, 404, 408, 413, 415, 429, 503))

_PATH = "/v1/chat/completions"
# FastAPI does not know the body's type, because `read_json_object` reads it.
_SCHEMA_AT = "#/paths/~1v1~1chat~1completions/post/requestBody/content/application~1json/schema"
_BODY_SCHEMA = ChatCompletionRequest.model_json_schema(ref_template=_SCHEMA_AT + "/$defs/{model}")
_OPENAPI = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}}
}


async def _chat_request(
    request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep
) -> ChatCompletionRequest:
    fields = await read_json_object(
        request, max_bytes=config.max_body_bytes, timeout_s=config.body_timeout_s
    )
    chat = await anyio.to_thread.run_sync(ChatCompletionRequest.model_validate, fields)
    extra = chat.model_extra if chat.model_extra is not None else {}
    ignored_fields.note(without_known_fields(extra))
    return chat


ChatRequestDep = Annotated[ChatCompletionRequest, Depends(_chat_request)]


@router.post(_PATH, response_model=ChatCompletion, openapi_extra=_OPENAPI)
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

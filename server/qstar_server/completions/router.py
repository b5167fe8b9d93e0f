"""The HTTP side of completions."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from qstar_infer.engine.protocol import Engine
from qstar_server.body import read_json_object
from qstar_server.completions.protocol import CompletionRequest, CompletionResponse
from qstar_server.completions.service import submit_completion
from qstar_server.deps import EngineDep, SettingsDep, UnknownFieldsDep
from qstar_server.error_schema import error_responses
from qstar_server.errors import ClientGoneError
from qstar_server.settings import Settings
from qstar_server.sse import EventStream

router = APIRouter(responses=error_responses(400, 403, 404, 408, 413, 415, 429, 503))

_PATH = "/v1/completions"
# The body is read by hand, for its size and strictness, so its schema must be named by hand.
_SCHEMA_AT = "#/paths/~1v1~1completions/post/requestBody/content/application~1json/schema"
_BODY_SCHEMA = CompletionRequest.model_json_schema(ref_template=_SCHEMA_AT + "/$defs/{model}")
_OPENAPI = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}}
}


async def _completion_request(
    request: Request, settings: SettingsDep, unknown_fields: UnknownFieldsDep
) -> CompletionRequest:
    fields = await read_json_object(
        request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s
    )
    completion = await anyio.to_thread.run_sync(CompletionRequest.model_validate, fields)
    unknown_fields.note(completion.model_extra if completion.model_extra is not None else {})
    return completion


CompletionRequestDep = Annotated[CompletionRequest, Depends(_completion_request)]


@router.post(_PATH, response_model=CompletionResponse, openapi_extra=_OPENAPI)
async def create_completion(
    request: Request,
    engine: EngineDep,
    settings: SettingsDep,
    completion: CompletionRequestDep,
) -> Response:
    """Complete one or more prompts. With `stream`, answer with server-sent events."""
    if completion.stream:
        job = await submit_completion(completion, engine, settings)
        return EventStream(job.frames(), job.deltas, settings)
    body = await _until_disconnect(request, _whole(completion, engine, settings))
    return Response(body, media_type="application/json")


async def _whole(completion: CompletionRequest, engine: Engine, settings: Settings) -> bytes:
    job = await submit_completion(completion, engine, settings)
    response = await job.response()
    return await anyio.to_thread.run_sync(response.to_bytes)


async def _until_disconnect(request: Request, work: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of `work`, which is cancelled as soon as the client leaves.

    Starlette does not cancel a handler on a disconnect. Call this after the body has been read:
    what is received then can only be the disconnect.

    Raises:
        ClientGoneError: the client left first.
    """
    job = asyncio.create_task(work)
    watcher = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({job, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientGoneError
        return job.result()
    finally:
        job.cancel()
        watcher.cancel()
        await asyncio.gather(job, watcher, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

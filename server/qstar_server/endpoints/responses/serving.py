"""From a responses request to a running job: check, render, admit, submit."""

import time
import uuid

from qstar_infer.engine.protocol import AdmittedRequest, Engine, EngineRequest
from qstar_infer.errors import RequestError
from qstar_server.conversation.conversation import (
    Conversation,
    Tool,
    check_tools,
    encode_conversation,
    naming_param,
)
from qstar_server.conversation.tool_calls.plan import NamedTool, ToolPlan, plan_tools
from qstar_server.endpoints.responses.conversation_input import messages_of
from qstar_server.endpoints.responses.protocol import (
    DEFAULT_MAX_TOP_LOGPROBS,
    FunctionChoice,
    ResponsesRequest,
    check_contradictions,
)
from qstar_server.endpoints.responses.refused_fields import check_refused_fields
from qstar_server.endpoints.responses.renderer import ResponsesRenderer
from qstar_server.endpoints.responses.resource import Response
from qstar_server.generation.generation_job import GenerationJob
from qstar_server.generation.generation_request import check_logprobs, check_stream_options
from qstar_server.generation.reasoning import with_effort
from qstar_server.generation.thought_fields import check_thought_fields
from qstar_server.generation.unsupported_fields import check_supported
from qstar_server.http.errors import model_not_found
from qstar_server.http.frames import StreamForm
from qstar_server.http.intake import in_intake
from qstar_server.settings.config import ServerConfig


async def start_response(
    request: ResponsesRequest, engine: Engine, *, config: ServerConfig
) -> tuple[GenerationJob, StreamForm]:
    """Hand the request to the engine.

    Returns:
        The job, and how its stream begins, ends and fails.

    Raises:
        ApiError: the model is unknown (404), or the operator forbids thoughts (403).
        RequestError: a field is unsupported or out of range, or the engine could never serve it.
        QueueFullError, EngineDeadError: see `Engine.submit`.
    """
    if request.model != engine.model.name:
        raise model_not_found(request.model)
    check_thought_fields(request, config, include_reasoning=request.include_reasoning)
    _check_supported_fields(request)
    check_logprobs(
        request.top_logprobs, config, default=DEFAULT_MAX_TOP_LOGPROBS, param="top_logprobs"
    )
    admitted, renderer, form = await in_intake(_prepare, engine, request, config)
    job = await GenerationJob.start(engine, [admitted], renderer=renderer, config=config)
    return job, form


def _check_supported_fields(request: ResponsesRequest) -> None:
    extra_fields = request.model_extra if request.model_extra is not None else {}
    check_refused_fields(extra_fields)
    check_supported(extra_fields)
    check_stream_options(request)
    check_contradictions(request)


def _prepare(
    engine: Engine, request: ResponsesRequest, config: ServerConfig
) -> tuple[AdmittedRequest, ResponsesRenderer, StreamForm]:
    """All that takes time with the size of the request: not on an event loop."""
    plan = _plan_tools(engine, request)
    engine_id = f"resp_{uuid.uuid4().hex}"
    admitted = _admit(engine, request, config, plan, engine_id=engine_id)
    # The engine's ids are always new: another client could use the same `request_id`.
    response_id = engine_id if request.request_id is None else f"resp_{request.request_id}"
    renderer = ResponsesRenderer(
        request,
        _new_response(request, admitted, response_id),
        parser=plan.parser(),
        token_bytes=engine.token_bytes,
        has_reasoning=bool(request.include_reasoning) and admitted.num_thought_tokens > 0,
    )
    opening = renderer.opening_frames() if request.stream else []
    return admitted, renderer, StreamForm(opening=opening, failure=renderer.failure_frames, end=())


def _admit(
    engine: Engine,
    request: ResponsesRequest,
    config: ServerConfig,
    plan: ToolPlan,
    *,
    engine_id: str,
) -> AdmittedRequest:
    """Render and tokenise the conversation, and check the request."""
    params = with_effort(
        request.to_sampling_params(engine.model.sampling_defaults, grammar=plan.grammar),
        request.reasoning_effort,
        model=engine.model,
        efforts=config.reasoning_efforts,
    )
    switches = request.chat_template_kwargs
    conversation = Conversation(
        messages=messages_of(request.input, instructions=request.instructions),
        tools=plan.tools,
        template_options={} if switches is None else switches.model_dump(exclude_none=True),
    )
    token_ids = request.truncated(
        encode_conversation(engine, conversation, param="input"),
        max_model_len=engine.model.max_model_len,
        max_tokens=params.max_tokens,
    )
    with naming_param("input"):
        return engine.admit(
            EngineRequest(
                request_id=engine_id,
                prompt_token_ids=token_ids,
                params=params,
                show_thoughts=bool(request.show_thoughts or request.include_reasoning),
                priority=0 if request.priority is None else request.priority,
                cache_salt=request.cache_salt,
            )
        )


def _plan_tools(engine: Engine, request: ResponsesRequest) -> ToolPlan:
    choice = request.tool_choice
    try:
        tools = [
            Tool(name=each.name, description=each.description, parameters=each.parameters)
            for each in request.tools or []
        ]
    except ValueError as error:
        raise RequestError(f"tools: {error}", param="tools") from None
    check_tools(tools)
    return plan_tools(
        tools,
        NamedTool(choice.name) if isinstance(choice, FunctionChoice) else choice,
        template=engine.model.chat_template,
        is_parallel=request.parallel_tool_calls is not False,
    )


def _new_response(
    request: ResponsesRequest, admitted: AdmittedRequest, response_id: str
) -> Response:
    params = admitted.request.params
    text_format = None if request.text is None else request.text.format
    return Response(
        id=response_id,
        created_at=int(time.time()),
        status="in_progress",
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        metadata=request.metadata if request.metadata is not None else {},
        model=request.model,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        prompt_cache_key=request.prompt_cache_key,
        reasoning={"effort": request.reasoning_effort, "summary": None},
        safety_identifier=request.safety_identifier,
        temperature=params.temperature,
        text={
            "format": {"type": "text"}
            if text_format is None
            else text_format.model_dump(by_alias=True, exclude_unset=True)
        },
        tool_choice=_echoed_choice(request.tool_choice),
        tools=[tool.model_dump() for tool in request.tools or []],
        top_logprobs=0 if request.top_logprobs is None else request.top_logprobs,
        top_p=params.top_p if request.top_p is None else request.top_p,
        user=request.user,
        thoughts=[] if request.show_thoughts else None,
    )


def _echoed_choice(choice: str | FunctionChoice | None) -> str | dict[str, str]:
    if isinstance(choice, FunctionChoice):
        return choice.model_dump()
    return "auto" if choice is None else choice

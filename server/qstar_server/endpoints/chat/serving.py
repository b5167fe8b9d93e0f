"""From a chat request to a running job: check, render the template, tokenise, admit, submit."""

import uuid

from qstar_infer.engine.protocol import AdmittedRequest, Engine, EngineRequest
from qstar_server.conversation.chat_messages import plain_tools
from qstar_server.conversation.conversation import check_tools, encode_conversation, naming_param
from qstar_server.conversation.tool_calls.plan import ToolPlan, plan_tools
from qstar_server.endpoints.chat.protocol import DEFAULT_MAX_LOGPROBS, ChatCompletionRequest
from qstar_server.endpoints.chat.renderer import ChatRenderer
from qstar_server.endpoints.chat.unsupported_fields import check_chat_fields
from qstar_server.generation.generation_job import GenerationJob
from qstar_server.generation.generation_request import check_logprobs, check_stream_options
from qstar_server.generation.reasoning import with_effort
from qstar_server.generation.thought_fields import check_thought_fields
from qstar_server.generation.unsupported_fields import check_supported
from qstar_server.http.errors import model_not_found
from qstar_server.http.intake import in_intake
from qstar_server.settings.config import ServerConfig


async def start_chat(
    request: ChatCompletionRequest, engine: Engine, *, config: ServerConfig
) -> GenerationJob:
    """Hand the conversation to the engine.

    Raises:
        ApiError: the model is unknown (404), or the operator forbids thoughts (403).
        RequestError: a field is unsupported or out of range, or the engine could never serve it.
        QueueFullError, EngineDeadError: see `Engine.submit`.
    """
    if request.model != engine.model.name:
        raise model_not_found(request.model)
    check_thought_fields(request, config, include_reasoning=request.include_reasoning)
    _check_fields(request, config)
    engine_id = f"chatcmpl-{uuid.uuid4().hex}"
    plan, admitted = await in_intake(_admit, engine, request, config, engine_id)
    # The engine's ids are always new: another client could use the same `request_id`.
    response_id = engine_id if request.request_id is None else f"chatcmpl-{request.request_id}"
    renderer = ChatRenderer(
        request, admitted, plan, response_id=response_id, token_bytes=engine.token_bytes
    )
    return await GenerationJob.start(engine, [admitted], renderer=renderer, config=config)


def _check_fields(request: ChatCompletionRequest, config: ServerConfig) -> None:
    if request.model_extra is not None:
        check_supported(request.model_extra)
        check_chat_fields(request.model_extra)
    check_stream_options(request)
    check_logprobs(request.top_logprobs, config, default=DEFAULT_MAX_LOGPROBS, param="top_logprobs")


def _admit(
    engine: Engine, request: ChatCompletionRequest, config: ServerConfig, engine_id: str
) -> tuple[ToolPlan, AdmittedRequest]:
    """Slow: call it outside the event loop."""
    model = engine.model
    tools = plain_tools(request.tools)
    check_tools(tools)
    plan = plan_tools(
        tools,
        request.tool_choice,
        template=model.chat_template,
        is_parallel=request.parallel_tool_calls is not False,
    )
    params = with_effort(
        request.to_sampling_params(model.sampling_defaults, plan),
        request.reasoning_effort,
        model=model,
        efforts=config.reasoning_efforts,
    )
    whole = encode_conversation(
        engine,
        request.conversation(plan),
        param="messages",
        add_special_tokens=bool(request.add_special_tokens),
    )
    token_ids = request.truncated(
        whole, max_model_len=model.max_model_len, max_tokens=params.max_tokens
    )
    with naming_param("messages"):
        admitted = engine.admit(
            EngineRequest(
                request_id=engine_id,
                prompt_token_ids=token_ids,
                params=params,
                show_thoughts=bool(request.show_thoughts or request.include_reasoning),
                priority=0 if request.priority is None else request.priority,
                cache_salt=request.cache_salt,
            )
        )
    return plan, admitted

"""From a messages request to a running job: check, render, admit, submit."""

import uuid
from dataclasses import replace

from qstar_infer.engine.protocol import AdmittedRequest, Engine, EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import SamplingParams
from qstar_server.conversation.conversation import (
    Conversation,
    Tool,
    check_tools,
    encode_conversation,
    naming_param,
)
from qstar_server.conversation.tool_calls.plan import NamedTool, ToolChoice, ToolPlan, plan_tools
from qstar_server.endpoints.messages.conversation_input import messages_of
from qstar_server.endpoints.messages.protocol import (
    CountTokensRequest,
    MessagesRequest,
    ToolChoiceConfig,
)
from qstar_server.endpoints.messages.refused_fields import check_refused_fields
from qstar_server.endpoints.messages.renderer import MessagesRenderer
from qstar_server.endpoints.messages.thinking import thought_length
from qstar_server.generation.generation_job import GenerationJob
from qstar_server.generation.reasoning import with_effort
from qstar_server.generation.thought_fields import check_thoughts_allowed
from qstar_server.generation.unsupported_fields import check_supported
from qstar_server.http.errors import model_not_found
from qstar_server.http.frames import StreamForm
from qstar_server.http.intake import in_intake
from qstar_server.settings.config import ServerConfig


async def start_message(
    request: MessagesRequest, engine: Engine, *, config: ServerConfig
) -> tuple[GenerationJob, StreamForm]:
    """Hand the request to the engine.

    Returns:
        The job, and how its stream ends and fails.

    Raises:
        ApiError: the model is unknown (404), or the operator forbids thoughts (403).
        RequestError: a field is unsupported or out of range, or the engine could never serve it.
        QueueFullError, EngineDeadError: see `Engine.submit`.
    """
    _check(request, engine)
    check_thoughts_allowed(config, thinking=_is_shown(request))
    message_id = f"msg_{uuid.uuid4().hex}"
    admitted, plan = await in_intake(_admit, engine, request, config, message_id)
    renderer = MessagesRenderer(
        message_id=message_id,
        model=request.model,
        max_model_len=engine.model.max_model_len,
        parser=plan.parser(),
        has_thinking=_is_shown(request) and admitted.num_thought_tokens > 0,
    )
    job = await GenerationJob.start(engine, [admitted], renderer=renderer, config=config)
    return job, StreamForm(failure=renderer.failure_frames, end=())


async def count_tokens(request: CountTokensRequest, engine: Engine) -> int:
    """How many tokens the prompt of a message would have.

    Raises:
        ApiError: the model is unknown (404).
        RequestError: a field is unsupported, or the template refuses the messages.
    """
    _check(request, engine)
    return await in_intake(_count_tokens, engine, request)


def _count_tokens(engine: Engine, request: CountTokensRequest) -> int:
    return len(_encode(engine, request, _plan(engine, request)))


def _check(request: CountTokensRequest, engine: Engine) -> None:
    if request.model != engine.model.name:
        raise model_not_found(request.model)
    extra_fields = request.model_extra if request.model_extra is not None else {}
    check_refused_fields(extra_fields)
    check_supported(extra_fields)


def _admit(
    engine: Engine, request: MessagesRequest, config: ServerConfig, message_id: str
) -> tuple[AdmittedRequest, ToolPlan]:
    """Render and tokenise the messages and check the request. Slow: not on an event loop."""
    plan = _plan(engine, request)
    params = with_effort(
        request.to_sampling_params(
            engine.model.sampling_defaults,
            grammar=plan.grammar,
            thought_length=thought_length(request, engine.model),
        ),
        None if request.output_config is None else request.output_config.effort,
        model=engine.model,
        efforts=config.reasoning_efforts,
    )
    token_ids = _encode(engine, request, plan)
    with naming_param("messages"):
        admitted = engine.admit(
            EngineRequest(
                request_id=message_id,
                prompt_token_ids=token_ids,
                params=_within_context(params, engine.model.max_model_len - len(token_ids)),
                show_thoughts=_is_shown(request),
                priority=0 if request.priority is None else request.priority,
                cache_salt=request.cache_salt,
            )
        )
    return admitted, plan


def _within_context(params: SamplingParams, num_left: int) -> SamplingParams:
    """A limit above the room in the context ends there, as at Anthropic, and is no error."""
    if params.max_tokens is None or params.max_tokens <= num_left:
        return params
    return replace(params, max_tokens=None)


def _is_shown(request: MessagesRequest) -> bool:
    return request.thinking is not None and request.thinking.is_shown


def _encode(engine: Engine, request: CountTokensRequest, plan: ToolPlan) -> list[int]:
    messages = messages_of(request.messages, system=request.system)
    is_continued = messages[-1].role == "assistant"
    conversation = Conversation(
        messages=messages,
        tools=plan.tools,
        add_generation_prompt=not is_continued,
        continue_final_message=is_continued,
    )
    return encode_conversation(engine, conversation, param="messages")


def _plan(engine: Engine, request: CountTokensRequest) -> ToolPlan:
    try:
        tools = [
            Tool(name=each.name, description=each.description, parameters=each.input_schema)
            for each in request.tools or []
        ]
    except ValueError as error:
        raise RequestError(f"tools: {error}", param="tools") from None
    check_tools(tools)
    choice = request.tool_choice
    return plan_tools(
        tools,
        None if choice is None else _choice(choice),
        template=engine.model.chat_template,
        is_parallel=choice is None or not choice.disable_parallel_tool_use,
    )


def _choice(choice: ToolChoiceConfig) -> ToolChoice:
    if (choice.name is None) == (choice.type == "tool"):
        raise RequestError(
            "tool_choice needs a name if its type is tool, and only then", param="tool_choice"
        )
    if choice.name is not None:
        return NamedTool(choice.name)
    if choice.type == "any":
        return "required"
    return "none" if choice.type == "none" else "auto"

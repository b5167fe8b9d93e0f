"""From a completion request to a running job: check, tokenise, admit, submit."""

import uuid
from functools import partial

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import SamplingParams
from qstar_server.endpoints.completions.logprobs import check_repeated_scores
from qstar_server.endpoints.completions.prompts import (
    Prompt,
    PromptInput,
    check_prompt_count,
    check_text_lengths,
    echo_of,
    encode_prompt,
)
from qstar_server.endpoints.completions.protocol import DEFAULT_MAX_LOGPROBS, CompletionRequest
from qstar_server.endpoints.completions.renderer import CompletionRenderer
from qstar_server.generation.generation_job import GenerationJob
from qstar_server.generation.generation_request import check_logprobs, check_stream_options
from qstar_server.generation.reasoning import with_effort
from qstar_server.generation.thought_fields import check_thought_fields
from qstar_server.generation.unsupported_fields import check_supported
from qstar_server.http.errors import model_not_found
from qstar_server.http.intake import in_intake
from qstar_server.settings.config import ServerConfig


async def start_completion(
    request: CompletionRequest, engine: Engine, *, config: ServerConfig
) -> GenerationJob:
    """Hand the request's prompts to the engine, all or none.

    Raises:
        ApiError: the model is unknown (404), or the operator forbids thoughts (403).
        RequestError: a field is unsupported or out of range, or the engine could never serve it.
        QueueFullError, EngineDeadError: see `Engine.submit`.
    """
    if request.model != engine.model.name:
        raise model_not_found(request.model)
    check_thought_fields(request, config)
    check_prompt_count(len(request.prompt), limit=config.max_prompts)
    _check_supported_fields(request)
    for name in ("logprobs", "prompt_logprobs"):
        check_logprobs(getattr(request, name), config, default=DEFAULT_MAX_LOGPROBS, param=name)
    engine_id = f"cmpl-{uuid.uuid4().hex}"
    prompts = await in_intake(_admit, engine, request, config, engine_id)
    # The engine's ids are always new: another client could use the same `request_id`.
    response_id = engine_id if request.request_id is None else f"cmpl-{request.request_id}"
    renderer = CompletionRenderer(
        request,
        prompts,
        response_id=response_id,
        decode=partial(engine.decode, skip_special_tokens=False),
    )
    return await GenerationJob.start(
        engine,
        [prompt.admitted for prompt in prompts],
        renderer=renderer,
        config=config,
    )


def _check_supported_fields(request: CompletionRequest) -> None:
    if request.model_extra is not None:
        check_supported(request.model_extra)
    check_stream_options(request)
    if request.suffix:
        raise RequestError("suffix is not supported; leave it out", param="suffix")


def _check_best_of_is_whole(params: SamplingParams, *, is_stream: bool) -> None:
    if is_stream and params.num_candidates > params.n:
        raise RequestError(
            "best_of greater than n cannot be streamed: the best are known only at the end. Lower "
            "best_of, or leave out stream",
            param="best_of",
        )


def _admit(
    engine: Engine, request: CompletionRequest, config: ServerConfig, engine_id: str
) -> list[Prompt]:
    """Tokenise and check one prompt after the other, so that those after a wrong one cost nothing.

    Slow: call it outside the event loop.
    """
    params = with_effort(
        request.to_sampling_params(engine.model.sampling_defaults),
        request.reasoning_effort,
        model=engine.model,
        efforts=config.reasoning_efforts,
    )
    _check_best_of_is_whole(params, is_stream=bool(request.stream))
    # Before the first of perhaps many prompts is tokenised: a full queue must cost little.
    engine.check_room(len(request.prompt) * params.num_candidates)
    if request.truncate_prompt_tokens is None:
        check_text_lengths(request.prompt, max_model_len=engine.model.max_model_len)
    prompts: list[Prompt] = []
    num_tokens = 0
    for number, item in enumerate(request.prompt):
        prompt = _admit_one(engine, request, params, item, request_id=f"{engine_id}-{number}")
        prompts.append(prompt)
        num_tokens += len(prompt.token_ids)
        if params.prompt_logprobs is not None:
            check_repeated_scores(num_tokens, n=params.n)
    return prompts


def _admit_one(
    engine: Engine,
    request: CompletionRequest,
    params: SamplingParams,
    item: PromptInput,
    *,
    request_id: str,
) -> Prompt:
    whole = encode_prompt(engine, item, add_special_tokens=request.add_special_tokens is not False)
    token_ids = request.truncated(
        whole, max_model_len=engine.model.max_model_len, max_tokens=params.max_tokens
    )
    admitted = engine.admit(
        EngineRequest(
            request_id=request_id,
            prompt_token_ids=token_ids,
            params=params,
            show_thoughts=bool(request.show_thoughts),
            priority=0 if request.priority is None else request.priority,
            cache_salt=request.cache_salt,
        )
    )
    is_whole = len(token_ids) == len(whole)
    given = item if isinstance(item, str) and is_whole else None
    text, offsets = echo_of(engine, given, admitted) if request.echo else ("", [])
    return Prompt(admitted=admitted, echoed_text=text, echoed_offsets=offsets)

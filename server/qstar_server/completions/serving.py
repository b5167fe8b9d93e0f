"""From a completion request to a running job: check, tokenise, admit, submit."""

import uuid
from functools import partial

import anyio.to_thread

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import SamplingParams
from qstar_server.completions.logprobs import check_repeated_scores
from qstar_server.completions.prompts import Prompt, check_prompt_count, echo_of, encode_prompts
from qstar_server.completions.protocol import CompletionRequest
from qstar_server.completions.renderer import CompletionRenderer
from qstar_server.config import ServerConfig
from qstar_server.errors import model_not_found
from qstar_server.generation_job import GenerationJob
from qstar_server.generation_request import check_stream_options, check_thoughts_allowed
from qstar_server.reasoning import with_effort
from qstar_server.unsupported_fields import check_supported


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
    check_thoughts_allowed(config, show_thoughts=request.show_thoughts)
    check_prompt_count(len(request.prompt), limit=config.max_prompts)
    _check_supported_fields(request)
    params = with_effort(
        request.to_sampling_params(engine.model.sampling_defaults),
        request.reasoning_effort,
        model=engine.model,
        efforts=config.reasoning_efforts,
    )
    _check_best_of_is_whole(params, is_stream=bool(request.stream))
    response_id = f"cmpl-{uuid.uuid4().hex}"
    prompts = await anyio.to_thread.run_sync(_admit, engine, request, params, response_id)
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
        max_pending_deltas=config.max_pending_deltas,
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
    engine: Engine, request: CompletionRequest, params: SamplingParams, response_id: str
) -> list[Prompt]:
    """Tokenise each prompt and check it once. Slow: call it outside the event loop."""
    encoded = encode_prompts(
        engine, request.prompt, add_special_tokens=request.add_special_tokens is not False
    )
    if params.prompt_logprobs is not None:
        check_repeated_scores(sum(len(token_ids) for token_ids in encoded), n=params.n)
    prompts: list[Prompt] = []
    for number, (item, token_ids) in enumerate(zip(request.prompt, encoded, strict=True)):
        admitted = engine.admit(
            EngineRequest(
                request_id=f"{response_id}-{number}",
                prompt_token_ids=token_ids,
                params=params,
                show_thoughts=bool(request.show_thoughts),
                priority=0 if request.priority is None else request.priority,
                cache_salt=request.cache_salt,
            )
        )
        text, offsets = echo_of(engine, item, admitted) if request.echo else ("", [])
        prompts.append(Prompt(admitted=admitted, echoed_text=text, echoed_offsets=offsets))
    return prompts

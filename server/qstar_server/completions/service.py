"""One completion request, from checked fields to a response or a stream of chunks."""

import time
import uuid
from collections.abc import AsyncIterator

import anyio.to_thread

from qstar_infer.engine.protocol import Engine, EngineRequest
from qstar_infer.errors import RequestError
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import MAX_NUM_SEQUENCES, SamplingParams, shown
from qstar_server.bridge import DeltaStream
from qstar_server.completions.logprobs import check_repeated_scores
from qstar_server.completions.prompts import Prompt, check_prompt_count, encode_prompts, prompt_text
from qstar_server.completions.protocol import (
    CompletionChoice,
    CompletionRequest,
    CompletionResponse,
)
from qstar_server.completions.response import PromptWriter
from qstar_server.errors import model_not_found
from qstar_server.extras import refuse_unsupported
from qstar_server.generation import (
    check_stream_options,
    refuse_forbidden_thoughts,
    requested_thought_length,
    sampling_fields,
)
from qstar_server.settings import Settings
from qstar_server.wire import UsageCounter

_LARGE_CHUNK_TOKENS = 64


class CompletionJob:
    """A submitted completion request.

    Attributes:
        deltas: what the engine sends; close it when the job is given up.
    """

    def __init__(
        self,
        request: CompletionRequest,
        deltas: DeltaStream,
        *,
        job_id: str,
        writers: dict[str, PromptWriter],
        usage: UsageCounter,
    ) -> None:
        self.deltas = deltas
        self._request = request
        self._id = job_id
        self._created = int(time.time())
        self._writers = writers
        self._usage = usage

    async def response(self) -> CompletionResponse:
        """The whole response. Leaving it early aborts the engine's work."""
        choices: dict[int, CompletionChoice] = {}
        async with self.deltas:
            async for delta in self.deltas:
                for choice in await self._write(delta):
                    if choice.index in choices:
                        choices[choice.index].extend(choice)
                    else:
                        choices[choice.index] = choice
        return CompletionResponse(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._request.model,
            choices=self._best(choices),
            usage=self._usage.usage(),
        )

    async def frames(self) -> AsyncIterator[str]:
        """The chunks of the stream as JSON. Each holds one choice's news."""
        options = self._request.stream_options
        has_usage = options is not None and bool(options.include_usage)
        is_continuous = options is not None and bool(options.continuous_usage_stats)
        async with self.deltas:
            async for delta in self.deltas:
                for choice in await self._write(delta):
                    chunk = self._chunk([choice])
                    if is_continuous:
                        chunk.usage = self._usage.usage()
                    elif has_usage:
                        chunk.usage = None
                    yield await _to_json(chunk)
        if has_usage:
            last = self._chunk([])
            last.usage = self._usage.usage()
            yield last.to_json()

    async def _write(self, delta: RequestOutput) -> list[CompletionChoice]:
        self._usage.add(delta)
        writer = self._writers[delta.request_id]
        if writer.is_slow(delta):
            return await anyio.to_thread.run_sync(writer.write, delta)
        return writer.write(delta)

    def _chunk(self, choices: list[CompletionChoice]) -> CompletionResponse:
        return CompletionResponse(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._request.model,
            choices=choices,
        )

    def _best(self, choices: dict[int, CompletionChoice]) -> list[CompletionChoice]:
        """The `n` most likely candidates of each prompt, best first, numbered anew.

        Where all candidates are returned they keep their order, which is that of a stream.
        """
        n = _num_returned(self._request)
        best: list[CompletionChoice] = []
        for writer in self._writers.values():
            ranked = list(writer.choices)
            if len(ranked) > n:
                ranked.sort(key=lambda choice: choice.mean_logprob, reverse=True)
            best += [choices[choice.index] for choice in ranked[:n]]
        for index, choice in enumerate(best):
            choice.index = index
        return best


async def submit_completion(
    request: CompletionRequest, engine: Engine, settings: Settings
) -> CompletionJob:
    """Check the request, tokenise its prompts and hand them to the engine, all or none.

    Raises:
        ApiError: the model is another one (404), or thoughts are forbidden (403).
        RequestError, QueueFullError, EngineDeadError: as `Engine.submit`.
    """
    if request.model != engine.model.name:
        raise model_not_found(request.model)
    refuse_forbidden_thoughts(request, settings)
    check_prompt_count(len(request.prompt), limit=settings.max_prompts)
    params = _build_params(request)
    job_id = f"cmpl-{uuid.uuid4().hex}"
    prepared = await anyio.to_thread.run_sync(_prepare, engine, request, params, job_id)
    writers = {
        engine_request.request_id: PromptWriter(
            engine, request, prompt, params, first_index=number * params.n
        )
        for number, (prompt, engine_request) in enumerate(prepared)
    }
    deltas = await DeltaStream.open(
        engine,
        [engine_request for _, engine_request in prepared],
        max_pending=settings.max_pending_deltas,
    )
    usage = UsageCounter(sum(len(prompt.token_ids) for prompt, _ in prepared))
    return CompletionJob(request, deltas, job_id=job_id, writers=writers, usage=usage)


def _prepare(
    engine: Engine, request: CompletionRequest, params: SamplingParams, job_id: str
) -> list[tuple[Prompt, EngineRequest]]:
    """Tokenise and check. Slow: call it off the event loop."""
    encoded = encode_prompts(
        engine, request.prompt, add_special_tokens=request.add_special_tokens is not False
    )
    if params.prompt_logprobs is not None:
        num_prompt_tokens = sum(len(token_ids) for token_ids in encoded)
        check_repeated_scores(num_prompt_tokens, n=_num_returned(request))
    prepared: list[tuple[Prompt, EngineRequest]] = []
    for number, (item, token_ids) in enumerate(zip(request.prompt, encoded, strict=True)):
        engine_request = EngineRequest(
            request_id=f"{job_id}-{number}", prompt_token_ids=token_ids, params=params
        )
        # Before the text is looked at: a tokenizer may fail on ids that it does not have.
        engine.check(engine_request)
        text = prompt_text(engine, item, skip_special_tokens=params.skip_special_tokens)
        prepared.append((Prompt(text=text, token_ids=token_ids), engine_request))
    return prepared


async def _to_json(chunk: CompletionResponse) -> str:
    logprobs = chunk.choices[0].logprobs
    if logprobs is not None and len(logprobs.tokens) > _LARGE_CHUNK_TOKENS:
        return await anyio.to_thread.run_sync(chunk.to_json)
    return chunk.to_json()


def _build_params(request: CompletionRequest) -> SamplingParams:
    """Sampling settings of each prompt of the request; `n` counts all candidates of `best_of`.

    Raises:
        RequestError: a value is out of range, contradicts another or is not supported.
    """
    if request.model_extra is not None:
        refuse_unsupported(request.model_extra)
    check_stream_options(request)
    if request.suffix:
        raise RequestError("suffix is not supported; leave it out", param="suffix")
    fields = sampling_fields(request)
    fields["n"] = _num_candidates(request)
    fields["num_thought_tokens"] = requested_thought_length(request)
    fields["logprobs"] = request.logprobs
    if request.echo:
        fields["prompt_logprobs"] = request.logprobs
    if request.max_tokens is not None:
        fields["max_tokens"] = request.max_tokens
    params = SamplingParams(**fields)
    _check_num_sequences(request, params.n)
    return params


def _num_returned(request: CompletionRequest) -> int:
    """Choices a prompt."""
    return 1 if request.n is None else request.n


def _num_candidates(request: CompletionRequest) -> int:
    n = _num_returned(request)
    if request.best_of is None:
        return n
    if request.best_of < n:
        raise RequestError(
            f"best_of is {request.best_of}, less than n, {shown(n)}", param="best_of"
        )
    if request.best_of > n and request.stream:
        raise RequestError(
            "best_of greater than n cannot be streamed: the best are known only at the end",
            param="best_of",
        )
    return request.best_of


def _check_num_sequences(request: CompletionRequest, n: int) -> None:
    num_sequences = n * len(request.prompt)
    if num_sequences > MAX_NUM_SEQUENCES:
        raise RequestError(
            f"{len(request.prompt)} prompts with {n} completions each are {num_sequences} "
            f"sequences; the most in one request is {MAX_NUM_SEQUENCES}",
            param="n" if n > 1 else "prompt",
        )

"""One generating HTTP request at work: from admitted requests to a response or a stream.

The same for every endpoint. The endpoint's JSON is written by its `Renderer`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

import anyio.to_thread

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.outputs import RequestOutput
from qstar_infer.ranking import MeanLogprobRanker, best_outputs
from qstar_server.generation.delta_stream import DeltaStream
from qstar_server.generation.tenants import kept_apart
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.frames import Frame
from qstar_server.settings.config import ServerConfig
from qstar_server.watching.generation_watch import GenerationWatch


class Renderer(Protocol):
    """Writes the JSON of one endpoint, for one HTTP request."""

    def response(self, outputs: Sequence[RequestOutput], counts: TokenCounts) -> bytes:
        """The body of a whole response. Slow: called outside the event loop.

        Args:
            outputs: one whole output for each engine request, in the order of the requests.
        """
        ...

    def is_slow(self, delta: RequestOutput) -> bool:
        """Whether `frames` would block an event loop for long with this delta."""
        ...

    def frames(self, delta: RequestOutput, counts: TokenCounts) -> Sequence[Frame]:
        """What a delta adds to the stream."""
        ...

    def last_frames(self, counts: TokenCounts) -> Sequence[Frame]:
        """What follows the last delta."""
        ...


class GenerationJob:
    """Requests that the engine works on. Consume `response` or `frames`, once."""

    def __init__(
        self,
        requests: Sequence[AdmittedRequest],
        deltas: DeltaStream,
        *,
        renderer: Renderer,
        counts: TokenCounts,
        watch: GenerationWatch,
    ) -> None:
        self._requests = requests
        self._deltas = deltas
        self._renderer = renderer
        self._counts = counts
        self._watch = watch

    @classmethod
    async def start(
        cls,
        engine: Engine,
        requests: Sequence[AdmittedRequest],
        *,
        renderer: Renderer,
        config: ServerConfig,
    ) -> "GenerationJob":
        """Submit the requests, all or none.

        Raises:
            RequestError, QueueFullError, EngineDeadError: see `Engine.submit`.
        """
        requests = kept_apart(requests)
        deltas = await DeltaStream.open(
            engine,
            requests,
            max_pending=config.max_pending_deltas,
            timeout_s=config.request_timeout_s,
        )
        num_prompt_tokens = sum(len(each.request.prompt_token_ids) for each in requests)
        counts = TokenCounts(num_prompt_tokens=num_prompt_tokens)
        watch = GenerationWatch(engine, requests, counts)
        return cls(requests, deltas, renderer=renderer, counts=counts, watch=watch)

    async def response(self) -> bytes:
        """The body of the whole response. Cancelling it aborts the engine's work."""
        outputs = await self._whole_outputs()
        return await anyio.to_thread.run_sync(self._renderer.response, outputs, self._counts)

    async def frames(self) -> AsyncIterator[Frame]:
        """The frames that the engine's outputs give."""
        async with self._at_work():
            async for delta in self._deltas:
                self._observe(delta)
                if self._renderer.is_slow(delta):
                    frames = await anyio.to_thread.run_sync(
                        self._renderer.frames, delta, self._counts
                    )
                else:
                    frames = self._renderer.frames(delta, self._counts)
                for frame in frames:
                    yield frame
        for frame in self._renderer.last_frames(self._counts):
            yield frame

    def close(self) -> None:
        """Abort what has not finished. Does not wait; may be called twice."""
        self._deltas.close()
        self._watch.end()

    def _observe(self, delta: RequestOutput) -> None:
        """Called once with every delta, before it is merged or rendered."""
        self._counts.add(delta)
        self._watch.observe(delta)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """At its end, what has not finished is aborted."""
        try:
            async with self._deltas:
                yield
        except BaseException as error:
            self._watch.end(error)
            raise
        self._watch.end()

    async def _whole_outputs(self) -> list[RequestOutput]:
        """The merged output of each request, with the best `n` of its completions."""
        wholes = {each.request.request_id: each.empty_output() for each in self._requests}
        async with self._at_work():
            async for delta in self._deltas:
                self._observe(delta)
                wholes[delta.request_id].extend(delta)
        ranker = MeanLogprobRanker()
        return [
            replace(
                whole,
                outputs=best_outputs(whole.outputs, admitted.request.params.n, ranker),
            )
            for admitted, whole in zip(self._requests, wholes.values(), strict=True)
        ]

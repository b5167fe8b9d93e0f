"""Follows the requests of one job through their deltas: tokens, times and ends."""

import asyncio
import re
import time
from collections.abc import Sequence

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_server.generation.usage import TokenCounts
from qstar_server.http.errors import to_api_error
from qstar_server.watching.metrics.request_counts import RequestCounts
from qstar_server.watching.request_record import GenerationRecord, RequestRecord, current_record
from qstar_server.watching.text_log import TextLog

_PROMPT_NUMBER = re.compile(r"-\d{1,3}$")
"""Ends the engine's name of a request where a body may hold several prompts."""


class _OpenRequest:
    """One prompt of a job that has not finished."""

    def __init__(self, admitted: AdmittedRequest) -> None:
        self.num_prompt_tokens = len(admitted.request.prompt_token_ids)
        self.num_unfinished = admitted.request.params.num_candidates
        self.has_begun = False
        self.num_tokens: dict[int, int] = {}
        """By completion: visible tokens up to now."""
        self.newest_s: dict[int, float] = {}
        """By completion: time of its newest token."""


class GenerationWatch:
    """Writes what happens to a job into its request's record and the server's totals.

    Used on the event loop only.
    """

    def __init__(
        self, engine: Engine, requests: Sequence[AdmittedRequest], counts: TokenCounts
    ) -> None:
        """
        Args:
            counts: the job's, which it keeps up to date.
        """
        record = current_record()
        self._record = record if record is not None else RequestRecord(request_id="", method="")
        self._totals: RequestCounts = self._record.totals
        self._open = {each.request.request_id: _OpenRequest(each) for each in requests}
        self._generation = GenerationRecord(
            model=engine.model.name,
            response_id=_PROMPT_NUMBER.sub("", requests[0].request.request_id),
            max_tokens=max(each.max_tokens for each in requests),
            counts=counts,
        )
        self._record.generation = self._generation
        self._texts = TextLog(engine, requests) if self._record.logs_texts else None

    def observe(self, delta: RequestOutput) -> None:
        """Note one delta, just after it arrived."""
        now_s = time.monotonic()
        if self._texts is not None:
            self._texts.observe(delta)
        opened = self._open[delta.request_id]
        if not opened.has_begun:
            opened.has_begun = True
            self._totals.prompt_tokens += opened.num_prompt_tokens
        for output in delta.outputs:
            if output.token_ids:
                self._note_tokens(opened, output, now_s)
            if output.finish_reason is not None:
                opened.num_unfinished -= 1
                self._note_end(output.finish_reason)
                num_tokens = opened.num_tokens.get(output.index, 0)
                self._totals.request_generation_tokens.add(num_tokens)
        if delta.finished:
            self._note_finished(self._open.pop(delta.request_id), delta, now_s)

    def end(self, error: BaseException | None = None) -> None:
        """Note that the job has ended; what has not finished was aborted. May be called twice.

        Args:
            error: what ended it, if it did not end by itself.
        """
        is_aborted = error is None or isinstance(error, asyncio.CancelledError | GeneratorExit)
        if not is_aborted and isinstance(error, Exception):
            api_error = to_api_error(error)
            self._record.error = api_error.code or api_error.type
        for opened in self._open.values():
            for _ in range(opened.num_unfinished):
                self._note_end("abort" if is_aborted else "error")
        self._open.clear()
        if self._texts is not None:
            self._texts.write()
            self._texts = None

    def _note_tokens(self, opened: _OpenRequest, output: CompletionOutput, now_s: float) -> None:
        count = len(output.token_ids)
        since_start = now_s - self._record.started_s
        if not opened.newest_s:
            self._totals.time_to_first_token.add(since_start)
        if self._generation.first_token_s is None:
            self._generation.first_token_s = since_start
        newest_s = opened.newest_s.get(output.index)
        if newest_s is not None:
            self._totals.inter_token_latency.add((now_s - newest_s) / count, times=count)
        elif count > 1:
            self._totals.inter_token_latency.add(0.0, times=count - 1)
        opened.newest_s[output.index] = now_s
        opened.num_tokens[output.index] = opened.num_tokens.get(output.index, 0) + count

    def _note_end(self, finish_reason: str) -> None:
        self._totals.finished[finish_reason] += 1
        self._generation.finish_reasons.append(finish_reason)

    def _note_finished(self, opened: _OpenRequest, delta: RequestOutput, now_s: float) -> None:
        totals, times = self._totals, delta.times
        totals.request_prompt_tokens.add(opened.num_prompt_tokens)
        totals.e2e_latency.add(now_s - self._record.started_s)
        if times is None or times.scheduled_s is None:
            return
        totals.queue_time.add(times.scheduled_s - times.queued_s)
        if times.first_token_s is not None:
            totals.prefill_time.add(times.first_token_s - times.scheduled_s)
            totals.decode_time.add(times.newest_s - times.first_token_s)

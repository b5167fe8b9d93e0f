"""The engine: takes requests, runs one step at a time, returns deltas. No threads, no HTTP."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from qstar_infer.config import EngineConfig
from qstar_infer.constraints.compiler import GrammarCompiler
from qstar_infer.engine.admission import Admission
from qstar_infer.engine.build_runner import AnyModel, build_runner, runner_config
from qstar_infer.engine.failure import (
    RequestFailure,
    check_finite,
    check_token_came,
    is_device_lost,
    request_failed,
)
from qstar_infer.engine.model_info import eos_token_ids, model_info
from qstar_infer.engine.open_request import OpenRequest
from qstar_infer.engine.output_processor import OutputProcessor
from qstar_infer.engine.protocol import AdmittedRequest
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.engine.sizing import check_memory, num_pool_blocks, prefill_rows
from qstar_infer.engine.step_counts import StepCounts
from qstar_infer.errors import EngineDeadError, NotFiniteError, NoTokenError
from qstar_infer.model.token_rows import tokens_without_row
from qstar_infer.outputs import EngineStats, RequestOutput
from qstar_infer.runner.tensor_parallel.ranks import Ranks
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.step import StepResult
from qstar_infer.text.chat_template import ChatTemplate
from qstar_infer.text.token_text import TokenText
from qstar_infer.wavefront.rows import SequenceStep, StepPlan, split_result
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus


class LLMEngine:
    """Continuous batching of thinking sequences over one model.

    In each step the scheduler picks rows, the runner computes them, and the engine records the
    results. An error ends only the requests that were part of the failed operation.

    Attributes:
        admission: checks requests; `add_request` accepts only requests that it admitted.
        token_text: the tokenizer; thread-safe.
        chat_template: renders conversations; thread-safe.
        num_failed_steps: number of failed steps in a row, up to now.
    """

    def __init__(
        self,
        model: AnyModel,
        config: EngineConfig | None = None,
        *,
        name: str | None = None,
        sampling_defaults: SamplingDefaults | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """
        Args:
            name: the name to serve the model under; None: the model's own name.
            sampling_defaults: values for fields that requests leave out; None: those of
                `SamplingParams`.
            ranks: those that have loaded the model, if it is sharded; closed with the engine.
        """
        self.config = runner_config(model, EngineConfig() if config is None else config)
        info = model_info(
            model, self.config, name=name, sampling_defaults=sampling_defaults or SamplingDefaults()
        )
        num_blocks = num_pool_blocks(model, self.config, max_model_len=info.max_model_len)
        check_memory(model, self.config, num_blocks=num_blocks)
        self.token_text = TokenText(model.tokenizer)
        self.chat_template = ChatTemplate(model.tokenizer, model_name=info.name)
        self.admission = Admission(
            info,
            self.config,
            num_blocks=num_blocks,
            delimiter_ids=model.delimiter_ids,
            eos_token_ids=eos_token_ids(model),
            num_positions=model.num_positions,
            unusable_tokens=tokens_without_row(model.tokenizer, model.vocab_size),
            id_of=self.token_text.id_of,
            encode=partial(self.token_text.encode, add_special_tokens=False),
            grammars=GrammarCompiler(self.token_text, vocab_size=model.vocab_size),
        )
        self.model_info = replace(
            info, max_model_len=self.admission.context_limit(info.num_thought_tokens)
        )
        self._scheduler = Scheduler(
            self.config,
            num_blocks=num_blocks,
            prefill_rows=prefill_rows(model, self.config),
        )
        self._runner = build_runner(
            model,
            self.config,
            num_blocks=num_blocks,
            num_lanes=self._scheduler.memory.lane_slots.num_slots,
            ranks=ranks,
        )
        self._dtype = str(model.dtype).removeprefix("torch.")
        self._requests: dict[str, OpenRequest] = {}
        self._failures: list[RequestFailure] = []
        self.num_failed_steps = 0
        self._counts = StepCounts()
        self._step_started_s: float | None = None

    @property
    def has_work(self) -> bool:
        return bool(self._requests)

    def add_request(self, admitted: AdmittedRequest, *, queued_s: float | None = None) -> None:
        """Queue a request that `admission` has admitted.

        Args:
            queued_s: when it began to wait, by `time.monotonic`; None: now.
        """
        request_id = admitted.request.request_id
        assert request_id not in self._requests, "a request id was used twice"
        queued_s = time.monotonic() if queued_s is None else queued_s
        opened = OpenRequest(admitted, self.token_text, queued_s=queued_s)
        for output in opened.outputs:
            self._scheduler.add(output.seq)
        self._requests[request_id] = opened

    def abort(self, request_id: str) -> None:
        """Drop a request and release its blocks and lanes; unknown ids are ignored."""
        opened = self._requests.pop(request_id, None)
        for output in opened.outputs if opened else ():
            if output.seq.status is not SequenceStatus.FINISHED:
                self._scheduler.finish(output.seq)

    def step(self) -> list[RequestOutput | RequestFailure]:
        """Run one forward pass and return the new deltas and failures of the requests.

        Raises:
            Exception: the device failed or the block accounting is wrong. The engine cannot be used
                any more.
        """
        self._step_started_s = time.monotonic()
        try:
            return self._step(self._step_started_s)
        finally:
            self._step_started_s = None

    def _step(self, started_s: float) -> list[RequestOutput | RequestFailure]:
        self._finish_without_output()
        plan = self._scheduler.schedule()
        if plan.sequences:
            self.num_failed_steps += 1  # reset when a result is recorded
            with self._ending_on_error(step.seq.request_id for step in plan.sequences):
                self._note_scheduled(plan, started_s)
                self._record(plan, self._runner.run(plan.batch))
                self._note_step(plan, time.monotonic() - started_s)
        else:
            assert not self._scheduler.has_work, "there is work, but nothing could be scheduled"
        news: list[RequestOutput | RequestFailure] = [*self._take_deltas(), *self._failures]
        self._failures.clear()
        return news

    def stats(self) -> EngineStats:
        scheduler, counts, started_s = self._scheduler, self._counts, self._step_started_s
        memory = scheduler.memory
        return EngineStats(
            steps=counts.steps,
            rows=counts.rows,
            tokens=counts.tokens,
            thought_tokens=counts.thought_tokens,
            drafted=scheduler.num_drafted,
            accepted=scheduler.num_accepted,
            rejected=scheduler.num_rejected,
            preemptions=scheduler.num_preemptions,
            recomputed=memory.num_recomputed,
            prefix_cache_queries=memory.num_queried,
            prefix_cache_hits=memory.num_found,
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            num_free_blocks=memory.blocks.num_free,
            num_cached_blocks=len(memory.blocks.cached),
            num_blocks=memory.blocks.num_blocks,
            block_size=memory.blocks.block_size,
            num_lanes=memory.lane_slots.num_in_use,
            step_age_s=None if started_s is None else time.monotonic() - started_s,
            step_rows=counts.step_rows.read(),
            step_seconds=counts.step_seconds.read(),
            mixing_weights=counts.mixing_weights.read(),
            passes_per_token=counts.passes_per_token.read(),
        )

    def close(self) -> None:
        """Release the memory that the runner holds. The engine must not be used any more."""
        self._runner.close()

    def check_idle(self) -> None:
        """Assert that no request is open and that all blocks and lane slots are free."""
        self._scheduler.check_idle()

    # --- recording a step -----------------------------------------------------------------------

    def _note_scheduled(self, plan: StepPlan, now_s: float) -> None:
        for step in plan.sequences:
            self._requests[step.seq.request_id].note_scheduled(now_s)

    def _note_step(self, plan: StepPlan, seconds: float) -> None:
        self._scheduler.note_step(plan, seconds)
        self._counts.note_step(plan.batch.num_rows, seconds)

    def _record(self, plan: StepPlan, result: StepResult) -> None:
        self._counts.steps += 1
        for step, share in split_result(plan, result):
            if step.seq.status is SequenceStatus.FINISHED:
                continue  # another completion of its request failed
            self._counts.note_sequence_step(step.num_rows)
            with self._ending_on_error([step.seq.request_id]):
                self._record_sequence(step, share)
                self.num_failed_steps = 0

    def _record_sequence(self, step: SequenceStep, result: StepResult) -> None:
        """Record one sequence's thoughts, drafts and decisions, then its verified tokens."""
        seq = step.seq
        self._scheduler.record(step, result)
        if seq.scoring is not None:
            for lane in seq.scoring.settle():
                check_finite(lane.decision, dtype=self._dtype)
                self._counts.thought_tokens += len(lane.thought)
        if seq.is_prompt_scored:  # or the output could end before the scores are complete
            self._record_verified(seq)

    def _record_verified(self, seq: Sequence) -> None:
        output = self._output(seq)
        while (verified := self._scheduler.verify_next(seq)) is not None:
            check_finite(verified.decision, dtype=self._dtype)
            check_token_came(seq, verified.decision)
            self._counts.note_token(verified.lane, verified.decision)
            if output.add(verified):
                self._counts.note_end(seq)
                self._scheduler.finish(seq)
                return

    def _output(self, seq: Sequence) -> OutputProcessor:
        return self._requests[seq.request_id].outputs[seq.index]

    def _finish_without_output(self) -> None:
        """Finish sequences with `max_tokens` 0 whose prompts are scored."""
        for seq in [*self._scheduler.running, *self._scheduler.waiting]:
            is_open = seq.status is not SequenceStatus.FINISHED
            if is_open and seq.max_tokens == 0 and seq.is_prompt_scored:
                with self._ending_on_error([seq.request_id]):
                    self._output(seq).end_by_length()
                    self._scheduler.finish(seq)

    def _take_deltas(self) -> list[RequestOutput]:
        deltas = []
        now_s = time.monotonic()
        for request_id, opened in list(self._requests.items()):
            with self._ending_on_error([request_id]):
                delta = opened.take_delta(now_s)
                if delta is not None:
                    deltas.append(delta)
                    if delta.finished:
                        del self._requests[request_id]
        return deltas

    # --- errors ---------------------------------------------------------------------------------

    @contextmanager
    def _ending_on_error(self, request_ids: Iterable[str]) -> Iterator[None]:
        """If the block raises, end these requests and no others.

        A pass writes keys and values only into the blocks of its own sequences. They are released
        with these requests, so the other requests are not affected.
        """
        try:
            yield
        except Exception as cause:
            if isinstance(cause, EngineDeadError) or is_device_lost(cause):
                raise
            if isinstance(cause, NotFiniteError | NoTokenError):
                self.num_failed_steps = 0  # the pass did its work; model or request are at fault
            error = request_failed(cause)
            for request_id in dict.fromkeys(request_ids):
                self.abort(request_id)
                self._failures.append(RequestFailure(request_id=request_id, error=error))
            self._scheduler.check_integrity()
            self._runner.release_unused_memory()

"""The engine: requests in, one step at a time, deltas out. One thread; no clock, no HTTP."""

import secrets
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass, replace

from qstar_infer.config import EngineConfig
from qstar_infer.engine.admission import Admission
from qstar_infer.engine.choosing import is_confident
from qstar_infer.engine.completion import Completion, logprob_entry
from qstar_infer.engine.failure import RequestFailure, is_device_lost, request_failed
from qstar_infer.engine.model_info import eos_token_ids, model_info
from qstar_infer.engine.model_runner import ModelRunner, StepResults
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.engine.rows import SequenceRows
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.engine.sequence import Sequence, SequenceStatus
from qstar_infer.engine.sizing import num_pool_blocks, speculation_rows
from qstar_infer.engine.token_text import TokenText
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.outputs import EngineStats, RequestOutput
from qstar_infer.sampling.noise import derive_seed


@dataclass(slots=True, eq=False)
class _OpenRequest:
    request: EngineRequest
    completions: list[Completion]
    is_first_delta: bool = True
    prompt_thought_tokens: int = 0

    @property
    def is_finished(self) -> bool:
        return all(
            completion.seq.status is SequenceStatus.FINISHED for completion in self.completions
        )


class LLMEngine:
    """Continuous batching of thinking sequences over one model.

    Each step is schedule, run, record: the scheduler picks rows, the runner computes them, and what
    was decided moves the sequences on. An error in that ends the requests that it concerns.

    Attributes:
        num_failed_steps: passes in a row, up to now, of which nothing could be recorded.
    """

    def __init__(
        self, model: QuietStarModel, config: EngineConfig | None = None, *, name: str | None = None
    ) -> None:
        self.config = EngineConfig() if config is None else config
        info = model_info(model, self.config, name=name)
        num_blocks = num_pool_blocks(model, self.config, max_model_len=info.max_model_len)
        self.token_text = TokenText(model.tokenizer)
        self.admission = Admission(
            info,
            self.config,
            num_blocks=num_blocks,
            delimiter_ids=model.delimiter_ids,
            eos_token_ids=eos_token_ids(model),
            num_positions=model.num_positions,
        )
        self.model_info = replace(
            info, max_model_len=self.admission.context_limit(info.num_thought_tokens)
        )
        self._scheduler = Scheduler(
            self.config,
            num_blocks=num_blocks,
            speculation_rows=speculation_rows(model, self.config),
        )
        self._runner = ModelRunner(model, num_blocks=num_blocks, block_size=self.config.block_size)
        self._requests: dict[str, _OpenRequest] = {}
        self._failures: list[RequestFailure] = []
        self.num_failed_steps = 0
        self._steps = 0
        self._rows = 0
        self._tokens = 0
        self._thought_tokens = 0

    @property
    def has_work(self) -> bool:
        return bool(self._requests)

    def add_request(self, request: EngineRequest) -> None:
        """Queue a request, or leave everything as it was.

        Raises:
            RequestError: it could never be served.
        """
        self.admission.check(request)
        assert request.request_id not in self._requests, "a request id was used twice"
        seed = request.params.seed
        if seed is None:
            seed = secrets.randbits(63)
        completions = []
        for index in range(request.params.n):
            seq = self.admission.sequence(request, index=index, seed=derive_seed(seed, index))
            completions.append(Completion(seq, self.token_text))
        for completion in completions:
            self._scheduler.add(completion.seq)
        self._requests[request.request_id] = _OpenRequest(request, completions)

    def abort(self, request_id: str) -> None:
        """Drop a request and free what it holds; unknown ids are ignored."""
        opened = self._requests.pop(request_id, None)
        for completion in opened.completions if opened else ():
            if completion.seq.status is not SequenceStatus.FINISHED:
                self._scheduler.finish(completion.seq)

    def step(self) -> list[RequestOutput | RequestFailure]:
        """One forward pass; returns what is new for each request that has news.

        Raises:
            Exception: the device is lost or the accounts are wrong; the engine is of no more use.
        """
        self._finish_without_output()
        steps = self._scheduler.schedule()
        if steps:
            self.num_failed_steps += 1  # until something is recorded
            with self._ending(rows.seq.request_id for rows in steps):
                self._record(steps, self._runner.run(steps))
        else:
            assert not self._scheduler.has_work, "work is left, but nothing could be scheduled"
        news: list[RequestOutput | RequestFailure] = [*self._take_deltas(), *self._failures]
        self._failures.clear()
        return news

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        return EngineStats(
            steps=self._steps,
            rows=self._rows,
            tokens=self._tokens,
            thought_tokens=self._thought_tokens,
            drafted=scheduler.num_drafted,
            accepted=scheduler.num_accepted,
            rejected=scheduler.num_rejected,
            preemptions=scheduler.num_preemptions,
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            num_free_blocks=scheduler.blocks.num_free,
            num_blocks=scheduler.blocks.num_blocks,
        )

    def check_idle(self) -> None:
        """Assert that nothing is held once no request is open."""
        self._scheduler.check_idle()

    # --- what a step decided --------------------------------------------------------------------

    def _record(self, steps: Items[SequenceRows], results: StepResults) -> None:
        self._steps += 1
        for rows in steps:
            if rows.seq.status is SequenceStatus.FINISHED:
                continue  # another completion of its request failed
            self._rows += rows.num_rows
            with self._ending([rows.seq.request_id]):
                self._record_sequence(rows, results)
                self.num_failed_steps = 0

    def _record_sequence(self, rows: SequenceRows, results: StepResults) -> None:
        """Move one sequence on: thoughts, drafts, decisions, then the verified tokens."""
        seq = rows.seq
        for thought in rows.thought_jobs:
            thought.lane.thought.append(results.thought_tokens[thought.lane])
        for base in rows.base_jobs:
            draft = results.drafts[base.lane]
            if seq.known_next(base.anchor) is None:
                assert base.anchor == len(seq.token_ids) - 1, "a draft must follow the newest token"
                seq.token_ids.append(draft.token_id)
            if not base.lane.blocks or is_confident(draft, seq.params.think_threshold):
                base.lane.thought.clear()
                base.lane.choice = draft
                self._scheduler.release_lane(base.lane)
        for target in rows.target_jobs:
            target.lane.choice = results.targets[target.lane]
            self._scheduler.release_lane(target.lane)
        self._record_scores(seq)
        self._record_verified(seq)

    def _record_scores(self, seq: Sequence) -> None:
        while seq.scoring_lanes and seq.scoring_lanes[0].choice is not None:
            lane = seq.scoring_lanes.popleft()
            assert lane.choice is not None
            seq.prompt_choices.append(lane.choice)
            self._requests[seq.request_id].prompt_thought_tokens += len(lane.thought)
            self._thought_tokens += len(lane.thought)

    def _record_verified(self, seq: Sequence) -> None:
        if not seq.is_prompt_scored:
            return  # its output may end with the next token, and its scores be lost with it
        completion = self._requests[seq.request_id].completions[seq.index]
        while (lane := self._scheduler.pop_verified(seq)) is not None:
            self._tokens += 1
            self._thought_tokens += len(lane.thought)
            if completion.add(lane):
                self._scheduler.finish(seq)
                return

    def _finish_without_output(self) -> None:
        """End the sequences that are to produce no token and have no prompt left to score."""
        for seq in [*self._scheduler.running, *self._scheduler.waiting]:
            is_open = seq.status is not SequenceStatus.FINISHED
            if is_open and seq.max_tokens == 0 and seq.is_prompt_scored:
                with self._ending([seq.request_id]):
                    self._requests[seq.request_id].completions[seq.index].end_by_length()
                    self._scheduler.finish(seq)

    def _take_deltas(self) -> list[RequestOutput]:
        outputs = []
        for request_id, opened in list(self._requests.items()):
            with self._ending([request_id]):
                output = self._take_delta(opened)
                if output is not None:
                    outputs.append(output)
                    if output.finished:
                        del self._requests[request_id]
        return outputs

    def _take_delta(self, opened: _OpenRequest) -> RequestOutput | None:
        if not opened.completions[0].seq.is_prompt_scored:
            return None  # the scores of the prompt come with the first delta
        deltas = [completion.take_delta() for completion in opened.completions]
        news = [delta for delta in deltas if delta is not None]
        if not news:
            return None
        output = RequestOutput(
            request_id=opened.request.request_id,
            prompt_token_ids=opened.request.prompt_token_ids,
            outputs=news,
            finished=opened.is_finished,
        )
        if opened.is_first_delta:
            self._add_prompt_scores(output, opened)
        opened.is_first_delta = False
        return output

    def _add_prompt_scores(self, output: RequestOutput, opened: _OpenRequest) -> None:
        seq = opened.completions[0].seq
        if not seq.scores_prompt:
            return
        entries = [logprob_entry(choice, self.token_text) for choice in seq.prompt_choices]
        output.prompt_logprobs = [None, *entries]
        output.num_prompt_thought_tokens = opened.prompt_thought_tokens

    # --- what an error ends ---------------------------------------------------------------------

    @contextmanager
    def _ending(self, request_ids: Iterable[str]) -> Iterator[None]:
        """An error within ends these requests, and no others.

        A pass writes keys and values only into blocks of its own sequences. These end with it, so
        that the others have lost nothing.
        """
        try:
            yield
        except Exception as cause:
            if is_device_lost(cause):
                raise
            error = request_failed(cause)
            for request_id in dict.fromkeys(request_ids):
                self.abort(request_id)
                self._failures.append(RequestFailure(request_id=request_id, error=error))
            self._scheduler.check_integrity()
            self._runner.release_unused_memory()

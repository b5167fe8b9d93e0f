"""One server: the engine's own scheduler, a model that tosses coins, and a computed clock."""

import random
from dataclasses import dataclass

from benchmarks.fleet.cost import FrontTime, StepSize, StepTime
from benchmarks.fleet.workload import Request
from qstar_infer.bench.serve.client import RequestRecord
from qstar_infer.config import EngineConfig
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.engine.step_counts import StepCounts
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import SampledToken, StepBatch, StepResult
from qstar_infer.wavefront.rows import StepPlan, split_result
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.wavefront import Wavefront

_DRAFT, _OTHER = 0, 1
_PARAMS = SamplingParams(temperature=0.0, ignore_eos=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """A server: limits, memory and times."""

    engine: EngineConfig
    """Prefixes must not be shared: the texts of the simulation are all alike."""
    num_blocks: int
    """Of the pool for keys and values."""
    step_time: StepTime
    front_time: FrontTime = FrontTime()

    def __post_init__(self) -> None:
        if self.engine.prefix_caching:
            raise ValueError("prefix_caching=True: the simulator has no texts that could share")


class Replica:
    """Serves requests in the order of their arrival, as `AsyncEngine` does with `LLMEngine`.

    Attributes:
        now_s: end of the newest step.
        busy_s: sum of the times of all steps.
        records: of each request, in the order of arrival; times are from its arrival on.
        num_compared, num_kept: thoughts that decided a token, and how many of them kept the draft.
    """

    def __init__(
        self, config: ReplicaConfig, *, num_thought_tokens: int, agreement: float, seed: int
    ) -> None:
        engine = config.engine
        self._config = config
        self._capacity = engine.max_num_seqs + engine.max_queue
        self._num_thought_tokens = num_thought_tokens
        self._agreement = agreement
        self._coin = random.Random(seed)
        self._open: dict[str, tuple[Sequence, float, RequestRecord]] = {}
        self._num_new = 0
        """Requests that came since the newest step."""
        self.scheduler = Scheduler(
            engine, num_blocks=config.num_blocks, prefill_rows=engine.max_prefill_rows
        )
        self.counts = StepCounts()
        self.now_s = 0.0
        self.busy_s = 0.0
        self.records: list[RequestRecord] = []
        self.num_compared = 0
        self.num_kept = 0

    @property
    def num_open(self) -> int:
        """Requests that run or wait."""
        return len(self._open)

    def submit(self, request: Request) -> RequestRecord:
        """Queue a request, or refuse it: then its record has an error. Call `advance` first."""
        record = RequestRecord(num_prompt_tokens=request.num_prompt_tokens)
        self.records.append(record)
        self._num_new += 1
        if len(self._open) >= self._capacity:
            record.error = "queue_full"
            return record
        seq = self._sequence(request)
        self._open[seq.request_id] = (seq, request.arrival_s, record)
        self.scheduler.add(seq)
        return record

    def advance(self, until_s: float) -> None:
        """Run all steps that begin before this time."""
        while self.scheduler.has_work and self.now_s < until_s:
            self._step()
        if not self.scheduler.has_work:
            self.now_s = max(self.now_s, until_s)

    def finish(self) -> None:
        """Run until all requests have ended."""
        while self.scheduler.has_work:
            self._step()
        self.scheduler.check_idle()

    def _sequence(self, request: Request) -> Sequence:
        pool = self._config.num_blocks * self._config.engine.block_size
        total = request.num_prompt_tokens + request.num_output_tokens + self._num_thought_tokens + 2
        if total > pool - self._config.engine.block_size:
            raise ValueError(f"a request of {total} tokens does not fit in a pool of {pool}")
        return Sequence(
            request_id=str(len(self.records)),
            index=0,
            params=_PARAMS,
            seed=0,
            num_thought_tokens=self._num_thought_tokens,
            thought_temperature=1.0,
            num_prompt_tokens=request.num_prompt_tokens,
            max_tokens=request.num_output_tokens,
            wavefront=Wavefront([_DRAFT] * request.num_prompt_tokens),
        )

    def _step(self) -> None:
        """Plan a step, let its time pass, and record its results."""
        plan = self.scheduler.schedule()
        assert plan.sequences, "there is work, but nothing could be scheduled"
        seconds = self._config.step_time.seconds(StepSize.of(plan.batch))
        self._begin_front()
        self.now_s += seconds
        self.busy_s += seconds
        self._record(plan)
        self.scheduler.note_step(plan, seconds)
        self.counts.note_step(plan.batch.num_rows, seconds)

    def _begin_front(self) -> None:
        """The time for the requests that came since the newest step passes."""
        self.now_s += self._num_new * self._config.front_time.request_s
        self._num_new = 0

    def _record(self, plan: StepPlan) -> None:
        self.counts.steps += 1
        for step, share in split_result(plan, self._run(plan.batch)):
            self.counts.note_sequence_step(step.num_rows)
            self.scheduler.record(step, share)
            self._take_tokens(step.seq)

    def _take_tokens(self, seq: Sequence) -> None:
        """Verify what is decided, and send it as one event."""
        num_before = seq.num_output_tokens
        while (verified := self.scheduler.verify_next(seq)) is not None:
            self.counts.note_token(verified.lane, verified.decision)
            if verified.lane.thought:
                self.num_compared += 1
                self.num_kept += verified.is_draft_kept
            if seq.num_output_tokens == seq.max_tokens:
                self.counts.note_end(seq)
                self.scheduler.finish(seq)
                break
        if seq.num_output_tokens == num_before:
            return
        self.now_s += self._config.front_time.delta_s
        _, arrival_s, record = self._open[seq.request_id]
        record.num_tokens = seq.num_output_tokens
        record.token_times.append(self.now_s - arrival_s)
        if seq.num_output_tokens == seq.max_tokens:
            record.end_s = self.now_s - arrival_s
            del self._open[seq.request_id]

    def _run(self, batch: StepBatch) -> StepResult:
        """All drafts are one token, and a thought gives another one where it disagrees."""
        return StepResult(
            base_tokens=[SampledToken(token_id=_DRAFT) for _ in batch.base_picks],
            thought_token_ids=[0] * len(batch.thought_picks),
            target_tokens=[
                SampledToken(token_id=_DRAFT if self._coin.random() < self._agreement else _OTHER)
                for _ in batch.target_picks
            ],
        )

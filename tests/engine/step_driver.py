"""The engine's loop without tensors or text: a scheduler, and a fake model that runs its steps."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from itertools import takewhile

from qstar_infer.config import EngineConfig
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.kv_cache.prefix_cache import TextKeys
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.rows import StepPlan, split_result
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus
from qstar_infer.wavefront.wavefront import Verified, Wavefront

from .fake_model import EVERYWHERE, Expected, FakeModel, by_definition


def make_sequence(
    prompt: Items[int],
    *,
    name: str = "r",
    num_thought_tokens: int = 2,
    max_tokens: int = 8,
    seed: int = 0,
    eos_token_ids: frozenset[int] = frozenset(),
    scores_prompt: bool = False,
    places: ThinkingPlaces = EVERYWHERE,
    params: SamplingParams | None = None,
    priority: int = 0,
    salt: str = "",
) -> Sequence:
    return Sequence(
        request_id=name,
        index=0,
        params=SamplingParams() if params is None else params,
        seed=seed,
        num_thought_tokens=num_thought_tokens,
        thought_temperature=1.0,
        num_prompt_tokens=len(prompt),
        max_tokens=max_tokens,
        wavefront=Wavefront(prompt),
        places=places,
        eos_token_ids=eos_token_ids,
        scoring=PromptScoring(len(prompt)) if scores_prompt else None,
        priority=priority,
        text_keys=TextKeys(salt),
    )


def definition_of(seq: Sequence, broken_ids: frozenset[int] = frozenset()) -> Expected:
    """The expected output of a sequence that has no sampling parameters."""
    return by_definition(
        seq.wavefront.token_ids[: seq.num_prompt_tokens],
        seed=seq.seed,
        num_thought_tokens=seq.num_thought_tokens,
        max_tokens=seq.max_tokens,
        stop_ids=seq.end_token_ids,
        scores_prompt=seq.scoring is not None,
        places=seq.places,
        broken_ids=broken_ids,
    )


@dataclass
class Driver:
    """Runs the steps of a scheduler, and checks its block accounting after each step."""

    config: EngineConfig
    num_blocks: int = 100
    prefill_rows: int | None = None
    broken_ids: frozenset[int] = frozenset()
    """Tokens whose keys and values are not finite."""
    got: dict[Sequence, Expected] = field(default_factory=dict)
    verified: dict[Sequence, list[Verified]] = field(default_factory=dict)
    """The verified tokens of each sequence, as the scheduler gave them."""

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.config,
            num_blocks=self.num_blocks,
            prefill_rows=self.prefill_rows,
        )
        self.model = FakeModel(self.broken_ids)

    def add(self, *sequences: Sequence) -> None:
        for seq in sequences:
            self.got[seq] = Expected()
            self.verified[seq] = []
            self.scheduler.add(seq)

    def step(self) -> StepPlan:
        plan = self.scheduler.schedule()
        self.finish_step(plan)
        return plan

    def finish_step(self, plan: StepPlan) -> None:
        """Run a scheduled step and record its results."""
        self.scheduler.check_integrity()
        assert plan.sequences or not self.scheduler.has_work, "nothing could be scheduled"
        written = {slot // self.config.block_size for slot in plan.batch.slots}
        assert self.scheduler.memory.blocks.cached.isdisjoint(written), "shared text is overwritten"
        for step, share in split_result(plan, self.model.run(plan.batch)):
            self.scheduler.record(step, share)
            self._record(step.seq)
        self.scheduler.check_integrity()

    def run(self) -> list[StepPlan]:
        """Run all steps until there is no more work."""
        plans = []
        while self.scheduler.has_work:
            plans.append(self.step())
            assert len(plans) < 3000, "the schedule does not end"
        self.scheduler.check_idle()
        return plans

    def _record(self, seq: Sequence) -> None:
        got = self.got[seq]
        if seq.scoring is not None:
            self.scheduler.memory.release_lanes(seq.scoring.settle())
            scores = list(takewhile(lambda token: token.fault is None, seq.scoring.scores))
            got.scores = [token.logprob for token in scores]
            if len(scores) < len(seq.scoring.scores):
                self._fail(seq)
        while seq.is_prompt_scored and seq.status is SequenceStatus.RUNNING:
            verified = self.scheduler.verify_next(seq)
            if verified is None:
                return
            if verified.decision.fault is not None:
                self._fail(seq)
                return
            self.verified[seq].append(verified)
            got.token_ids.append(verified.decision.token_id)
            got.logprobs.append(verified.decision.logprob)
            got.thoughts.append(tuple(verified.lane.thought))
            is_end = verified.decision.token_id in seq.end_token_ids
            if is_end or seq.num_output_tokens >= seq.max_tokens:
                self.scheduler.finish(seq)

    def _fail(self, seq: Sequence) -> None:
        self.got[seq].is_faulty = True
        self.scheduler.finish(seq)

"""The rows and picks of small steps, with all numbers written by hand.

Blocks hold four slots. With two thought tokens a lane has four slots: start, c_1, c_2, end. A text
has the first blocks of the pool; lanes have the last of its 20.
"""

from typing import Any

import pytest

from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import (
    END,
    NO_LANE,
    START,
    SampledToken,
    SequenceRows,
    StepBatch,
    StepResult,
    ThoughtPick,
    VisiblePick,
)
from qstar_infer.wavefront.record import record_result
from qstar_infer.wavefront.rows import SequenceStep, StepPlan, build_plan, split_result
from qstar_infer.wavefront.sequence import Sequence

from .sequences import BLOCK_SIZE, SEED, Pool

PROMPT = [10, 11, 12, 13, 14]


def build(*steps: SequenceStep) -> StepBatch:
    return build_plan(steps, block_size=BLOCK_SIZE).batch


def thought_pick(row: int, position: int, stream_index: int) -> ThoughtPick:
    return ThoughtPick(
        row=row, temperature=0.5, seed=SEED, position=position, stream_index=stream_index
    )


def test_prefill_feeds_the_prompt_and_opens_a_lane_at_its_end() -> None:
    pool = Pool()
    seq = pool.sequence(PROMPT)  # blocks 0 and 1
    lane = pool.lane(seq, 4)  # block 19
    step = SequenceStep(seq=seq, fed=range(5), advancing=[], opening={4: lane})
    assert step.num_rows == 6
    assert build(step) == StepBatch(
        block_size=4,
        sequences=[
            SequenceRows(num_rows=6, block_table=[0, 1], lane_tables=[[19]], lane_slots=[0])
        ],
        token_ids=[10, 11, 12, 13, 14, START],
        positions=[0, 1, 2, 3, 4, 5],
        slots=[0, 1, 2, 3, 4, 76],
        context_lens=[1, 2, 3, 4, 5, 5],
        row_lanes=[NO_LANE] * 5 + [0],
        lane_lens=[0] * 5 + [1],
        base_picks=[VisiblePick(row=4, seed=SEED, position=5, lane_slot=0, may_decide=False)],
        thought_picks=[thought_pick(row=5, position=5, stream_index=1)],
    )
    assert step.thinking == [lane]


def test_a_chunk_of_prefill_reads_nothing() -> None:
    seq = Pool().sequence(PROMPT)
    batch = build(SequenceStep(seq=seq, fed=range(1, 3), advancing=[], opening={}))
    assert (batch.token_ids, batch.positions, batch.context_lens) == ([11, 12], [1, 2], [2, 3])
    assert batch.base_picks + batch.target_picks == []
    assert batch.thought_picks == []


def test_in_steady_state_every_lane_advances_and_a_new_one_opens() -> None:
    """There are lanes at x_4 (ends now) and at draft d_5 (in its middle); draft d_6 is fed."""
    pool = Pool()
    seq = pool.sequence(PROMPT)  # blocks 0 and 1
    ending = pool.lane(seq, 4, [31, 32])  # block 19
    middle = pool.lane(seq, 5, [41])  # block 18
    opening = pool.lane(seq, 6)  # block 17
    seq.wavefront.drafts.extend([25, 26])
    step = SequenceStep(seq=seq, fed=range(6, 7), advancing=[ending, middle], opening={6: opening})
    assert step.num_rows == 5
    assert build(step) == StepBatch(
        block_size=4,
        sequences=[
            SequenceRows(
                num_rows=5, block_table=[0, 1], lane_tables=[[19], [18], [17]], lane_slots=[0, 1, 2]
            )
        ],
        token_ids=[32, END, 41, 26, START],
        positions=[7, 8, 7, 6, 7],
        slots=[78, 79, 73, 6, 68],
        context_lens=[5, 5, 6, 7, 7],
        row_lanes=[0, 0, 1, NO_LANE, 2],
        lane_lens=[3, 4, 2, 0, 1],
        base_picks=[VisiblePick(row=3, seed=SEED, position=7, lane_slot=2, may_decide=False)],
        thought_picks=[
            thought_pick(row=2, position=6, stream_index=2),
            thought_pick(row=4, position=7, stream_index=1),
        ],
        target_picks=[VisiblePick(row=1, seed=SEED, position=5, lane_slot=0)],
    )
    assert (step.thinking, step.ending) == ([middle, opening], [ending])


def test_scoring_reads_the_known_tokens_and_decides_the_one_after_them() -> None:
    pool = Pool()
    seq = pool.sequence([10, 11, 12], num_slots=3, scores_prompt=True)  # block 0
    lanes = {anchor: pool.lane(seq, anchor) for anchor in range(3)}  # blocks 19, 18, 17
    step = SequenceStep(seq=seq, fed=range(3), advancing=[], opening=lanes)
    batch = build(step)
    assert batch.token_ids == [10, START, 11, START, 12, START]
    assert batch.positions == [0, 1, 1, 2, 2, 3]
    assert batch.slots == [0, 76, 1, 72, 2, 68]
    assert batch.context_lens == [1, 1, 2, 2, 3, 3]
    assert batch.row_lanes == [NO_LANE, 0, NO_LANE, 1, NO_LANE, 2]
    assert batch.lane_lens == [0, 1] * 3
    assert [(pick.row, pick.known_id) for pick in batch.base_picks] == [(0, 11), (2, 12), (4, None)]
    assert [pick.position for pick in batch.thought_picks] == [1, 2, 3]


def test_without_a_thought_the_base_row_decides() -> None:
    pool = Pool()
    seq = pool.sequence(PROMPT, num_thought_tokens=0)
    batch = build(
        SequenceStep(seq=seq, fed=range(4, 5), advancing=[], opening={4: pool.lane(seq, 4)})
    )
    assert batch.num_rows == 1
    assert batch.base_picks == [VisiblePick(row=0, seed=SEED, position=5, may_decide=True)]


def test_sequences_of_one_shape_are_adjacent_and_get_their_results() -> None:
    pool = Pool()
    steps = []
    for num_fed in (3, 1, 3, 1):
        seq = pool.sequence(PROMPT[:num_fed], num_slots=num_fed)
        opening = {num_fed - 1: pool.lane(seq, num_fed - 1)}
        steps.append(SequenceStep(seq=seq, fed=range(num_fed), advancing=[], opening=opening))
    plan = build_plan(steps, block_size=BLOCK_SIZE)
    assert [rows.num_rows for rows in plan.batch.sequences] == [2, 2, 4, 4]
    assert plan.sequences == [steps[1], steps[3], steps[0], steps[2]]
    result = StepResult(
        base_tokens=[SampledToken(token_id=i) for i in range(4)],
        thought_token_ids=[50, 51, 52, 53],
        target_tokens=[],
    )
    shares = [
        (share.base_tokens[0].token_id, share.thought_token_ids) for share in split(plan, result)
    ]
    assert shares == [(0, [50]), (1, [51]), (2, [52]), (3, [53])]


def test_a_completion_that_fails_does_not_move_the_rows_of_others() -> None:
    """Its error releases the lanes of its request while the step is being recorded."""
    pool = Pool()
    steps = []
    for _ in range(3):
        seq = pool.sequence(PROMPT)
        opening = {4: pool.lane(seq, 4)}
        steps.append(SequenceStep(seq=seq, fed=range(5), advancing=[], opening=opening))
    plan = build_plan(steps, block_size=BLOCK_SIZE)
    result = StepResult(
        base_tokens=[SampledToken(token_id=i) for i in range(3)],
        thought_token_ids=[50, 51, 52],
        target_tokens=[],
        broken_rows=[11, 17],  # the start rows of the second and of the third
    )
    broken = []
    for _, share in split_result(plan, result):
        broken.append(share.broken_rows)
        steps[1].opening[4].table = None  # the second shares a request with the first
    assert broken == [[], [5], [5]]


def split(plan: StepPlan, result: StepResult) -> list[StepResult]:
    pairs = list(split_result(plan, result))
    assert [step for step, _ in pairs] == plan.sequences
    return [share for _, share in pairs]


# --- the rules that picks carry -----------------------------------------------------------------


def draft_pick(params: SamplingParams, *, drafts: int = 0, outputs: int = 0) -> VisiblePick:
    """The base pick at the frontier, after some verified output tokens and drafts."""
    pool = Pool()
    seq = pool.sequence(PROMPT, params=params)
    seq.wavefront.token_ids += [60, 61, 62][:outputs]
    seq.wavefront.drafts.extend([70, 71, 72][:drafts])
    anchor = seq.wavefront.num_known - 1
    batch = build(
        SequenceStep(
            seq=seq,
            fed=range(anchor, anchor + 1),
            advancing=[],
            opening={anchor: pool.lane(seq, anchor)},
        )
    )
    return batch.base_picks[0]


def test_a_penalty_needs_the_history_with_its_drafts() -> None:
    params = SamplingParams(temperature=0.0, presence_penalty=0.5)
    pick = draft_pick(params, outputs=1, drafts=2)
    assert pick.history == [*PROMPT, 60, 70, 71]
    assert (pick.num_prompt_tokens, pick.presence_penalty) == (5, 0.5)
    assert draft_pick(SamplingParams(temperature=0.0), drafts=2).history == []


@pytest.mark.parametrize(("num_drafts", "banned"), [(0, [5, 7]), (1, [5, 7]), (2, [])])
def test_end_tokens_are_banned_below_min_tokens_counting_drafts(
    num_drafts: int, banned: list[int]
) -> None:
    params = SamplingParams(temperature=0.0, min_tokens=3, stop_token_ids=(5,))
    assert draft_pick(params, outputs=1, drafts=num_drafts).banned_ids == banned


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0.8, "top_k": -1}, {"temperature": 0.8, "top_k": 0}),
        ({"temperature": 0.8, "top_k": 3, "top_p": 0.5}, {"top_k": 3, "top_p": 0.5}),
        ({"temperature": 0.0, "top_k": 3, "min_p": 0.5}, {"top_k": 0, "min_p": 0.0}),
        ({"logit_bias": {4: 2.0}}, {"logit_bias": {4: 2.0}}),
        ({"logprobs": 4}, {"num_top_logprobs": 4}),
        ({"think_threshold": 0.9}, {"may_decide": True}),
        ({}, {"may_decide": False, "num_top_logprobs": 0}),
    ],
)
def test_a_pick_contains_the_requests_sampling_params(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    pick = draft_pick(SamplingParams(**fields))
    assert {name: getattr(pick, name) for name in expected} == expected


def test_a_known_token_is_scored_without_rules() -> None:
    params = SamplingParams(
        temperature=0.9, logprobs=1, prompt_logprobs=3, logit_bias={1: 1.0}, presence_penalty=1.0
    )
    pool = Pool()
    seq = pool.sequence(PROMPT, params=params, scores_prompt=True)
    step = SequenceStep(seq=seq, fed=range(1), advancing=[], opening={0: pool.lane(seq, 0)})
    assert build(step).base_picks == [
        VisiblePick(
            row=0,
            seed=SEED,
            position=1,
            lane_slot=0,
            known_id=11,
            may_decide=False,
            num_top_logprobs=3,
        )
    ]


# --- what a result does -------------------------------------------------------------------------


def opened(seq: Sequence, pool: Pool) -> SequenceStep:
    step = SequenceStep(seq=seq, fed=range(5), advancing=[], opening={4: pool.lane(seq, 4)})
    build(step)
    seq.wavefront.lanes.append(step.opening[4])
    return step


def result_of(*, top_logprob: float) -> StepResult:
    token = SampledToken(token_id=33, logprob=top_logprob, top_logprob=top_logprob)
    return StepResult(base_tokens=[token], thought_token_ids=[44], target_tokens=[])


def test_an_opening_lane_gets_its_first_thought_token_and_a_draft() -> None:
    pool = Pool()
    seq = pool.sequence(PROMPT)
    step = opened(seq, pool)
    assert record_result(step, result_of(top_logprob=-0.1)) == []
    assert list(seq.wavefront.drafts) == [33]
    assert step.opening[4].thought == [44]
    assert step.opening[4].decision is None


@pytest.mark.parametrize(("top_logprob", "decides"), [(-0.6, True), (-0.8, False)])
def test_a_confident_draft_decides_without_its_thought(top_logprob: float, decides: bool) -> None:
    pool = Pool()  # exp(-0.6) is 0.549 and exp(-0.8) is 0.449
    seq = pool.sequence(PROMPT, params=SamplingParams(think_threshold=0.5))
    step = opened(seq, pool)
    lane = step.opening[4]
    assert record_result(step, result_of(top_logprob=top_logprob)) == [lane] * decides
    assert lane.thought == ([] if decides else [44])
    assert (lane.decision is not None) == decides


def test_the_end_of_a_lane_decides() -> None:
    pool = Pool()
    seq = pool.sequence(PROMPT)
    lane = pool.lane(seq, 4, [31, 32])
    step = SequenceStep(seq=seq, fed=range(5, 5), advancing=[lane], opening={})
    build(step)
    token = SampledToken(token_id=8)
    result = StepResult(base_tokens=[], thought_token_ids=[], target_tokens=[token])
    assert record_result(step, result) == [lane]
    assert lane.decision is token

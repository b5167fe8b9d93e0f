"""The scheduler, with a fake model that has no tensors."""

from typing import Any

import pytest

from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.wavefront.sequence import SequenceStatus

from .schedules import BEHIND, PROMPT, fed, sequences
from .step_driver import Driver, definition_of, make_sequence

# --- admission and the row budget ---------------------------------------------------------------


def test_sequences_start_in_order_of_arrival() -> None:
    driver = Driver(EngineConfig(max_num_seqs=2))
    first, second, third = sequences(3)
    driver.add(first, second, third)
    driver.step()
    assert driver.scheduler.running == [first, second]
    assert list(driver.scheduler.waiting) == [third]
    driver.scheduler.finish(first)
    driver.step()
    assert driver.scheduler.running == [second, third]


def test_no_sequence_overtakes_one_that_waits_for_blocks() -> None:
    driver = Driver(EngineConfig(block_size=4), num_blocks=6)
    # The first two need three blocks for their texts and one for a lane.
    first, second = make_sequence(PROMPT), make_sequence(PROMPT[::-1])
    small = make_sequence([1])  # needs two blocks, which are free
    driver.add(first, second, small)
    driver.step()
    assert driver.scheduler.running == [first]
    assert list(driver.scheduler.waiting) == [second, small]
    assert driver.scheduler.num_preemptions == 0


def test_a_prompt_is_fed_in_chunks_of_the_row_budget() -> None:
    driver = Driver(EngineConfig(max_rows=4))
    seq = make_sequence(PROMPT)
    driver.add(seq)
    plans = [driver.step() for _ in range(3)]
    assert [fed(plan, seq) for plan in plans] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [len(plan.batch.base_picks) for plan in plans] == [0, 0, 1]


def test_the_oldest_sequence_gets_the_row_budget_first() -> None:
    driver = Driver(EngineConfig(max_rows=16, speculation="off"))
    first, second, third = sequences(3)
    driver.add(first, second, third)
    plan = driver.step()
    assert [len(fed(plan, seq)) for seq in (first, second, third)] == [10, 6, 0]
    plan = driver.step()  # the first thinks and feeds nothing
    assert [len(fed(plan, seq)) for seq in (first, second, third)] == [0, 4, 10]


def test_decoding_comes_before_prefill() -> None:
    """Even if an older sequence prefills, which would use the whole budget."""
    driver = Driver(EngineConfig(max_rows=2))
    old, new = make_sequence(PROMPT), make_sequence([1])
    driver.add(old, new)
    plan = driver.step()
    assert (fed(plan, old), fed(plan, new)) == ([0], [0])


# --- drafts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speculation", "depth"), [("off", 0), (1, 1), (2, 2), (9, 3)])
def test_drafts_run_ahead_up_to_the_depth(speculation: Speculation, depth: int) -> None:
    driver = Driver(EngineConfig(speculation=speculation))
    seq = make_sequence(PROMPT, num_thought_tokens=3, max_tokens=30)
    driver.add(seq)
    deepest = 0
    while driver.scheduler.has_work:
        plan = driver.scheduler.schedule()
        deepest = max(deepest, seq.wavefront.num_drafts_fed)
        driver.finish_step(plan)
    assert deepest == depth
    assert (driver.scheduler.num_drafted > 0) == (depth > 0)


def test_the_number_of_drafts_of_all_sequences_is_limited() -> None:
    """The lane buffers have a fixed number of slots; a further draft would find none."""
    config = EngineConfig(speculation=9, max_num_seqs=4, scoring_positions=2, max_drafts=3)
    driver = Driver(config)
    driver.add(*sequences(4, num_thought_tokens=4, max_tokens=30))
    slots = driver.scheduler.memory.lane_slots
    assert slots.num_slots == 4 + 2 + 3
    most = most_in_use = 0
    while driver.scheduler.has_work:
        plan = driver.scheduler.schedule()
        drafts = [seq.wavefront.num_drafts_fed for seq in driver.scheduler.running]
        most, most_in_use = max(most, sum(drafts)), max(most_in_use, slots.num_in_use)
        driver.finish_step(plan)
    assert most == 3
    assert most_in_use == 4 + 3


def test_nothing_is_fed_after_the_last_token_that_max_tokens_allows() -> None:
    driver = Driver(EngineConfig(speculation=9))
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=3)
    driver.add(seq)
    plans = driver.run()
    assert max(index for plan in plans for index in fed(plan, seq)) == len(PROMPT) + 1


def test_accepted_and_rejected_drafts_are_counted() -> None:
    driver = Driver(EngineConfig(speculation=4))
    driver.add(*sequences(3, num_thought_tokens=4, max_tokens=40))
    driver.run()
    scheduler = driver.scheduler
    assert scheduler.num_accepted > 20
    assert scheduler.num_rejected > 10
    assert scheduler.num_accepted + scheduler.num_rejected <= scheduler.num_drafted


def test_a_roll_back_releases_the_blocks_of_the_drafts() -> None:
    driver = Driver(EngineConfig(block_size=1, speculation=4))
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=40)
    driver.add(seq)
    while driver.scheduler.has_work:
        driver.step()
        wavefront = seq.wavefront
        most = max(wavefront.num_computed, wavefront.num_verified)
        assert seq.table is None or len(seq.table) <= most
    assert driver.scheduler.num_rejected > 0


# --- prefill ------------------------------------------------------------------------------------


def test_prefill_is_bounded_while_others_decode() -> None:
    driver = Driver(EngineConfig(), prefill_rows=3)
    (stream,), long = sequences(1, max_tokens=30), make_sequence(list(range(20)))
    driver.add(stream)
    assert len(fed(driver.step(), stream)) == 10  # nobody decodes
    driver.add(long)
    assert [len(fed(driver.step(), long)) for _ in range(3)] == [3, 3, 3]
    driver.scheduler.finish(stream)
    assert len(fed(driver.step(), long)) == 11


def test_half_of_the_rows_are_for_the_first_prompt_and_the_others_for_the_shortest() -> None:
    driver = Driver(EngineConfig(max_rows=8, prefix_caching=False))
    long = make_sequence(list(range(20)))
    short = make_sequence(PROMPT[:6])
    middle = make_sequence(PROMPT)
    driver.add(long, middle, short)
    chunks = [[len(fed(plan, seq)) for seq in (long, middle, short)] for plan in driver.run()]
    assert chunks[:2] == [[4, 0, 4], [4, 2, 2]]


def test_a_prompt_that_is_not_the_shortest_is_not_starved() -> None:
    driver = Driver(EngineConfig(max_rows=4), prefill_rows=4)
    long = make_sequence(list(range(40)), max_tokens=1)
    driver.add(long)
    for number in range(60):
        driver.add(make_sequence([number] * 4, name=str(number), max_tokens=1, seed=number))
        driver.step()
        if long.status is SequenceStatus.FINISHED:
            break
    assert number < 30


# --- scoring ------------------------------------------------------------------------------------


def test_a_prompt_is_scored_in_chunks() -> None:
    driver = Driver(EngineConfig(scoring_positions=3))
    seq = make_sequence(PROMPT, scores_prompt=True, max_tokens=2)
    assert seq.scoring is not None
    driver.add(seq)
    pieces = [fed(plan, seq) for plan in driver.run()]
    assert [piece for piece in pieces if piece][:3] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert driver.got[seq] == definition_of(seq)
    assert len(driver.got[seq].scores) == len(PROMPT) - 1


def test_the_number_of_positions_scored_at_once_is_limited() -> None:
    driver = Driver(EngineConfig(scoring_positions=4))
    scored = [make_sequence(PROMPT, seed=i, scores_prompt=True) for i in range(3)]
    driver.add(*scored)
    most = 0
    while driver.scheduler.has_work:
        plan = driver.scheduler.schedule()
        most = max(most, sum(len(seq.scoring.lanes) for seq in scored if seq.scoring))
        driver.finish_step(plan)
    assert most == 4


def test_positions_without_a_thought_are_scored_as_fast_as_they_are_fed() -> None:
    driver = Driver(EngineConfig(scoring_positions=3, max_rows=8))
    seq = make_sequence(range(20), num_thought_tokens=0, scores_prompt=True)
    driver.add(seq)
    assert [len(fed(plan, seq)) for plan in driver.run()][:3] == [8, 8, 4]
    assert driver.got[seq] == definition_of(seq)


def test_only_positions_with_a_thought_are_limited() -> None:
    driver = Driver(EngineConfig(scoring_positions=2))
    seq = make_sequence(range(20), scores_prompt=True, places=BEHIND)  # thinks at 0, 4, 8, ...
    driver.add(seq)
    pieces = [fed(plan, seq) for plan in driver.run()]
    assert [(each[0], each[-1]) for each in pieces if each][:2] == [(0, 7), (8, 15)]
    assert driver.got[seq] == definition_of(seq)


@pytest.mark.parametrize("num_thought_tokens", [0, 2])
def test_a_stream_goes_on_while_prompts_are_scored(num_thought_tokens: int) -> None:
    """No step has more than `prefill_rows` thoughts about prompts, each of at most two rows, and as
    many prompt tokens; lanes about the tokens after the prompts come on top."""
    driver = Driver(EngineConfig(scoring_positions=16, speculation="off"), prefill_rows=3)
    stream = make_sequence(PROMPT, num_thought_tokens=0, max_tokens=200)
    fields: dict[str, Any] = {"num_thought_tokens": num_thought_tokens, "max_tokens": 1}
    scored = [
        make_sequence(range(20), name=f"s{number}", scores_prompt=True, **fields)
        for number in range(6)
    ]
    driver.add(stream)
    driver.step()
    driver.add(*scored)
    while not all(seq.status is SequenceStatus.FINISHED for seq in scored):
        plan = driver.scheduler.schedule()
        num_decoding = sum(len(seq.wavefront.lanes) for seq in scored)
        assert plan.batch.num_rows <= 1 + 2 * (3 + num_decoding)
        assert len(fed(plan, stream)) == 1
        driver.finish_step(plan)
    assert [driver.got[seq] for seq in scored] == [definition_of(seq) for seq in scored]


def test_scored_prompts_are_not_slowed_down_by_each_other() -> None:
    driver = Driver(EngineConfig(), prefill_rows=3)
    short, long = (make_sequence(range(end), scores_prompt=True) for end in (5, 20))
    driver.add(short)
    assert len(fed(driver.step(), short)) == 5
    driver.add(long)
    assert len(fed(driver.step(), long)) == 20


# --- the end of a sequence ----------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", range(12))
def test_a_sequence_can_be_removed_at_any_time(num_steps: int) -> None:
    """In every state (waiting, prefilling, scoring, thinking, preempted), all blocks are freed."""
    config = EngineConfig(max_num_seqs=2, max_rows=6, block_size=4, scoring_positions=2)
    driver = Driver(config, num_blocks=14)
    scored = make_sequence(PROMPT, scores_prompt=True, num_thought_tokens=1)
    others = sequences(2)
    driver.add(*others, scored)
    for _ in range(num_steps):
        driver.step()
    for seq in (*others, scored, scored):  # finishing twice has no effect
        driver.scheduler.finish(seq)
        driver.scheduler.check_integrity()
    driver.scheduler.check_idle()


def test_a_finished_sequence_is_not_scheduled() -> None:
    scheduler = Scheduler(EngineConfig(), num_blocks=20)
    seq = make_sequence(PROMPT)
    scheduler.add(seq)
    scheduler.finish(seq)
    assert not scheduler.has_work
    assert scheduler.schedule().sequences == []

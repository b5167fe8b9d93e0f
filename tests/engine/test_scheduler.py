"""The scheduler, with a fake model that has no tensors."""

import math
import random
from typing import Any

import pytest

from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.engine.scheduler import Scheduler
from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.wavefront.rows import StepPlan
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus

from .fake_model import EVERYWHERE, VOCAB_SIZE, Expected
from .step_driver import Driver, definition_of, make_sequence

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
LONGEST_PROMPT = 20
MOST_TOKENS = 12
LONGEST_THOUGHT = 4
BEHIND = ThinkingPlaces(behind_ids=frozenset(range(0, VOCAB_SIZE, 4)))
GATE = ThinkingPlaces(asks_gate=True)
PLACES = (EVERYWHERE, BEHIND, GATE)


def fed(plan: StepPlan, seq: Sequence) -> list[int]:
    """Indices of the tokens that a step feeds for a sequence."""
    return [index for step in plan.sequences if step.seq is seq for index in step.fed]


def sequences(count: int, **fields: Any) -> list[Sequence]:
    """Sequences with ten prompt tokens and different seeds."""
    return [make_sequence(PROMPT, name=f"r{i}", seed=i, **fields) for i in range(count)]


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
    first, second = sequences(2)  # each needs three blocks for its text and one for a lane
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
    config = EngineConfig(speculation=9, max_num_seqs=4, scoring_positions=2)
    driver = Driver(config, speculation_rows=3)
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


# --- preemption ---------------------------------------------------------------------------------


def test_the_newest_sequence_is_preempted_and_recomputed() -> None:
    driver = Driver(EngineConfig(block_size=4, speculation="off"), num_blocks=9)
    first, second = sequences(2, max_tokens=20)  # each grows to eight blocks and one for a lane
    driver.add(first, second)
    while not driver.scheduler.num_preemptions:
        driver.step()
    assert (first.status, second.status) == (SequenceStatus.RUNNING, SequenceStatus.WAITING)
    assert second.wavefront.num_computed == 0
    assert second.num_output_tokens > 0  # verified tokens are kept
    driver.run()
    assert driver.got == {seq: definition_of(seq) for seq in (first, second)}


def test_a_preempted_sequence_runs_before_later_arrivals() -> None:
    driver = Driver(EngineConfig(block_size=4, speculation="off", max_num_seqs=2), num_blocks=9)
    first, second, third = sequences(3, max_tokens=20)
    driver.add(first, second, third)
    while not driver.scheduler.num_preemptions:
        driver.step()
    assert list(driver.scheduler.waiting) == [second, third]


def test_a_draft_without_free_blocks_waits_and_does_not_preempt() -> None:
    # Each has one block for its text and one for a lane; one block is left for drafts.
    driver = Driver(EngineConfig(block_size=8, speculation=4), num_blocks=5)
    pair = [make_sequence([i], num_thought_tokens=4, max_tokens=6, seed=i) for i in range(2)]
    driver.add(*pair)
    driver.run()
    assert driver.scheduler.num_preemptions == 0
    assert driver.scheduler.num_drafted > 0
    assert driver.got == {seq: definition_of(seq) for seq in pair}


# --- scoring ------------------------------------------------------------------------------------


def test_a_prompt_is_scored_in_chunks() -> None:
    driver = Driver(EngineConfig(scoring_positions=3))
    seq = make_sequence(PROMPT, scores_prompt=True, max_tokens=2)
    assert seq.scoring is not None
    driver.add(seq)
    pieces = [fed(plan, seq) for plan in driver.run()]
    assert [piece for piece in pieces if piece][:4] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
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
    scheduler = Scheduler(EngineConfig(), num_blocks=20, speculation_rows=8)
    seq = make_sequence(PROMPT)
    scheduler.add(seq)
    scheduler.finish(seq)
    assert not scheduler.has_work
    assert scheduler.schedule().sequences == []


# --- random schedules ---------------------------------------------------------------------------


def draw_config(draw: random.Random) -> EngineConfig:
    return EngineConfig(
        speculation=draw.choice(["auto", "off", 1, 2, 9]),
        block_size=draw.choice([1, 2, 4, 16]),
        max_rows=draw.choice([1, 5, 100]),
        max_num_seqs=draw.choice([1, 3, 8]),
        scoring_positions=draw.choice([1, 3, 32]),
    )


def draw_sequences(draw: random.Random) -> list[Sequence]:
    return [
        make_sequence(
            [draw.randrange(VOCAB_SIZE) for _ in range(draw.randint(1, LONGEST_PROMPT))],
            name=f"r{i}",
            num_thought_tokens=draw.choice([0, 1, 2, LONGEST_THOUGHT]),
            max_tokens=draw.randint(1, MOST_TOKENS),
            seed=i,
            eos_token_ids=draw.choice([frozenset(), frozenset({7, 8})]),
            scores_prompt=draw.random() < 0.3,
            places=draw.choice(PLACES),
        )
        for i in range(draw.randint(1, 8))
    ]


def blocks(num_slots: int, config: EngineConfig) -> int:
    return math.ceil(num_slots / config.block_size)


def run_mix(draw: random.Random, config: EngineConfig) -> tuple[Driver, dict[str, Expected]]:
    """Add and drop sequences at random; returns the outputs of those that finish."""
    # From just enough blocks for the largest sequence to enough for all.
    num_blocks = blocks(LONGEST_PROMPT + MOST_TOKENS, config) + blocks(LONGEST_THOUGHT + 2, config)
    driver = Driver(
        config,
        num_blocks=num_blocks + draw.choice([0, 3, 60]),
        speculation_rows=draw.choice([1, 8, 64]),
    )
    arriving = draw_sequences(draw)
    dropped: set[Sequence] = set()
    for _ in range(3000):
        while arriving and draw.random() < 0.5:
            driver.add(arriving.pop())
        if driver.got and draw.random() < 0.02:
            seq = draw.choice(list(driver.got))
            if seq.status is not SequenceStatus.FINISHED:
                dropped.add(seq)
                driver.scheduler.finish(seq)
        driver.step()
        if not arriving and not driver.scheduler.has_work:
            break
    driver.scheduler.check_idle()
    for seq in dropped:
        whole = definition_of(seq).token_ids
        assert driver.got[seq].token_ids == whole[: len(driver.got[seq].token_ids)]
    done = [seq for seq in driver.got if seq not in dropped]
    for seq in done:
        assert driver.got[seq] == definition_of(seq)
    return driver, {seq.request_id: driver.got[seq] for seq in done}


@pytest.mark.parametrize("seed", range(60))
def test_every_schedule_gives_the_tokens_of_the_definition(seed: int) -> None:
    draw = random.Random(seed)
    run_mix(draw, draw_config(draw))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("speculation", ["auto", 3])
def test_decoding_without_drafts_gives_the_same_tokens(seed: int, speculation: Speculation) -> None:
    requests = draw_sequences(random.Random(seed)), draw_sequences(random.Random(seed))
    drivers = [Driver(EngineConfig(speculation=depth)) for depth in (speculation, "off")]
    for driver, each in zip(drivers, requests, strict=True):
        driver.add(*each)
        driver.run()
    drafting, waiting = (list(driver.got.values()) for driver in drivers)
    assert drafting == waiting


def test_the_schedules_reject_drafts_and_preempt() -> None:
    """Otherwise the test above would prove little."""
    drivers = []
    for seed in range(20):
        draw = random.Random(seed)
        drivers.append(run_mix(draw, draw_config(draw))[0])
    schedulers = [driver.scheduler for driver in drivers]
    assert sum(scheduler.num_rejected for scheduler in schedulers) > 20
    assert sum(scheduler.num_accepted for scheduler in schedulers) > 20
    assert sum(scheduler.num_preemptions for scheduler in schedulers) > 5


# --- where a model thinks -----------------------------------------------------------------------


def num_thinking(seq: Sequence) -> int:
    """Number of tokens that are thought about, by the definition."""
    return sum(map(bool, definition_of(seq).thoughts))


@pytest.mark.parametrize("places", [BEHIND, GATE])
def test_no_row_is_spent_where_the_rule_does_not_think(places: ThinkingPlaces) -> None:
    driver = Driver(EngineConfig(speculation="off"))
    seq = make_sequence(PROMPT, num_thought_tokens=3, max_tokens=40, places=places)
    driver.add(seq)
    plans = driver.run()
    assert driver.got[seq] == definition_of(seq)
    assert 0 < num_thinking(seq) < 30
    num_text_rows = len(PROMPT) + 39
    assert sum(plan.batch.num_rows for plan in plans) == num_text_rows + 5 * num_thinking(seq)


@pytest.mark.parametrize(("places", "num_passes"), [(BEHIND, 3), (GATE, 4)])
def test_without_drafts_a_thought_takes_its_passes(places: ThinkingPlaces, num_passes: int) -> None:
    """The pass of the anchor is that of its token; a gate needs one more."""
    driver = Driver(EngineConfig(speculation="off"))
    seq = make_sequence(PROMPT, num_thought_tokens=3, max_tokens=40, places=places)
    driver.add(seq)
    assert len(driver.run()) == 40 + num_passes * num_thinking(seq)


@pytest.mark.parametrize("places", [BEHIND, GATE])
def test_guesses_save_passes_after_a_wrong_draft(places: ThinkingPlaces) -> None:
    """Most of the text after a wrong draft stays the same, and needs no passes of its own."""
    driver = Driver(EngineConfig())
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=200, places=places)
    driver.add(seq)
    plans = driver.run()
    assert driver.got[seq] == definition_of(seq)
    assert driver.scheduler.num_rejected > 5
    # 4 of 5 tokens do not depend on the text before them.
    assert any(len(fed(plan, seq)) > 2 for plan in plans[1:])
    with_waiting = 200 + num_thinking(seq) * (4 if places is BEHIND else 5)
    assert len(plans) < 0.9 * with_waiting


def test_where_a_model_thinks_everywhere_nothing_is_guessed() -> None:
    """A guess after a token that is thought about would most likely wait for its thought."""
    driver = Driver(EngineConfig())
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=60)
    driver.add(seq)
    assert all(len(fed(plan, seq)) <= 1 for plan in driver.run()[1:])


def test_the_rules_give_the_tokens_of_the_definition_and_guess() -> None:
    """Otherwise the random schedules would prove little about rules."""
    num_guessed = 0
    for seed in range(20):
        draw = random.Random(seed)
        driver = Driver(draw_config(draw), speculation_rows=draw.choice([1, 8, 64]))
        chosen = [
            make_sequence(
                PROMPT,
                name=str(i),
                seed=i,
                num_thought_tokens=3,
                max_tokens=30,
                places=draw.choice([BEHIND, GATE]),
            )
            for i in range(4)
        ]
        driver.add(*chosen)
        for plan in driver.run():
            num_guessed += sum(
                max(0, len(step.fed) - 1) for step in plan.sequences if step.fed.start >= 10
            )
        for seq in chosen:
            assert driver.got[seq] == definition_of(seq)
    assert num_guessed > 50

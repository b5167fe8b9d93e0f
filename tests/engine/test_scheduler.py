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


# --- preemption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_drafts_are_given_up_before_a_sequence_is_preempted(seed: int) -> None:
    # Each grows to eleven blocks and three for a lane, so that at the end drafts have no room.
    driver = Driver(EngineConfig(block_size=2, speculation=9), num_blocks=28)
    pair = [
        make_sequence([i, 3], num_thought_tokens=4, max_tokens=20, seed=2 * seed + i)
        for i in range(2)
    ]
    driver.add(*pair)
    driver.run()
    assert driver.scheduler.num_drafted > 5
    assert driver.scheduler.num_preemptions == 0
    assert driver.got == {seq: definition_of(seq) for seq in pair}


def test_a_preempted_sequence_computes_only_what_was_needed_elsewhere() -> None:
    counts = {}
    for prefix_caching in (True, False):
        config = EngineConfig(block_size=4, speculation="off", prefix_caching=prefix_caching)
        driver = Driver(config, num_blocks=10)
        driver.add(*sequences(2, max_tokens=20))
        driver.run()
        assert driver.scheduler.num_preemptions > 0
        counts[prefix_caching] = driver.scheduler.memory.num_recomputed
    assert 0 < counts[True] < counts[False]


# --- priority -----------------------------------------------------------------------------------


def test_a_lower_number_is_served_sooner() -> None:
    driver = Driver(EngineConfig(max_num_seqs=1))
    late, first, urgent = (
        make_sequence([number], priority=number, max_tokens=1) for number in (2, 1, -3)
    )
    driver.add(late, first, urgent)
    order = []
    while driver.scheduler.has_work:
        order += [step.seq for step in driver.step().sequences if step.fed.start == 0]
    assert order == [urgent, first, late]


def test_an_urgent_sequence_preempts_the_least_important_one() -> None:
    driver = Driver(EngineConfig(max_num_seqs=2))
    old, new = (make_sequence(PROMPT, priority=1, max_tokens=30, seed=seed) for seed in (1, 2))
    driver.add(old, new)
    driver.step()
    urgent = make_sequence([7], priority=0, max_tokens=4)
    driver.add(urgent)
    driver.step()
    assert driver.scheduler.running == [urgent, old]
    assert driver.scheduler.waiting == [new]
    driver.run()
    assert driver.got == {seq: definition_of(seq) for seq in (old, new, urgent)}


def test_a_sequence_does_not_preempt_its_equals() -> None:
    driver = Driver(EngineConfig(max_num_seqs=1))
    first, second = sequences(2)
    driver.add(first, second)
    while first.status is not SequenceStatus.FINISHED:
        driver.step()
    assert driver.scheduler.num_preemptions == 0


def test_an_urgent_sequence_does_not_wait_for_the_prefill_of_another() -> None:
    driver = Driver(EngineConfig(max_rows=4, block_size=4))
    slow, urgent = make_sequence(PROMPT, priority=1), make_sequence(PROMPT, priority=0, seed=1)
    driver.add(slow)
    driver.step()
    driver.add(urgent)
    driver.step()
    assert driver.scheduler.running == [urgent, slow]


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


# --- random schedules ---------------------------------------------------------------------------


def draw_config(draw: random.Random) -> EngineConfig:
    return EngineConfig(
        speculation=draw.choice(["auto", "off", 1, 2, 9]),
        block_size=draw.choice([1, 2, 4, 16]),
        max_rows=draw.choice([1, 5, 100]),
        max_num_seqs=draw.choice([1, 3, 8]),
        scoring_positions=draw.choice([1, 3, 32]),
        max_drafts=draw.choice([1, 8, 64]),
        prefix_caching=draw.random() < 0.8,
    )


def draw_prompt(draw: random.Random) -> list[int]:
    """Often a prompt that others begin with too."""
    length = draw.randint(1, LONGEST_PROMPT)
    shared = draw.choice([0, length - 1, length])
    return [*range(shared), *(draw.randrange(VOCAB_SIZE) for _ in range(length - shared))]


def draw_sequences(draw: random.Random) -> list[Sequence]:
    return [
        make_sequence(
            draw_prompt(draw),
            name=f"r{i}",
            num_thought_tokens=draw.choice([0, 1, 2, LONGEST_THOUGHT]),
            max_tokens=draw.randint(1, MOST_TOKENS),
            seed=i,
            eos_token_ids=draw.choice([frozenset(), frozenset({7, 8})]),
            scores_prompt=draw.random() < 0.3,
            places=draw.choice(PLACES),
            priority=draw.choice([0, 0, 0, -1, 1]),
            salt=draw.choice(["", "", "", "a"]),
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
        prefill_rows=draw.choice([None, 1, 4]),
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
    for seed in range(30):
        draw = random.Random(seed)
        drivers.append(run_mix(draw, draw_config(draw))[0])
    schedulers = [driver.scheduler for driver in drivers]
    assert sum(scheduler.num_rejected for scheduler in schedulers) > 20
    assert sum(scheduler.num_accepted for scheduler in schedulers) > 20
    assert sum(scheduler.num_preemptions for scheduler in schedulers) > 5
    memories = [scheduler.memory for scheduler in schedulers]
    assert sum(memory.num_found for memory in memories) > 20
    assert sum(memory.num_recomputed for memory in memories) > 10


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
        driver = Driver(draw_config(draw))
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

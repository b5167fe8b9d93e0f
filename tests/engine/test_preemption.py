"""Which sequence the scheduler preempts, and which it serves first; no tensors."""

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.wavefront.sequence import SequenceStatus

from .schedules import PROMPT, sequences
from .step_driver import Driver, definition_of, make_sequence

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

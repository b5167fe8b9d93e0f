"""What `Passes` is made of: in which passes each thought ran, its draft, and what was dropped."""

import random
from collections.abc import Iterable
from itertools import accumulate, pairwise

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.wavefront import Verified

from .fake_model import EVERYWHERE
from .schedules import BEHIND, GATE, PROMPT, draw_config, sequences
from .step_driver import Driver, make_sequence
from .test_random_schedules import run_mix


def check(seq: Sequence, tokens: list[Verified]) -> None:
    """What holds of the verified tokens of a sequence, whatever the schedule was."""
    lasts = [each.lane.last_pass for each in tokens]
    settled = list(accumulate(lasts, max))
    for index, each in enumerate(tokens):
        lane = each.lane
        assert lane.anchor == seq.num_prompt_tokens - 1 + index
        assert 0 <= lane.first_pass <= lane.last_pass <= seq.newest_pass
        assert lane.last_pass - lane.first_pass in passes_of_thought(each, seq)
        assert each.is_draft_kept == (each.draft_id == each.decision.token_id)
        check_dropped(each, seq, settled=seq.newest_pass if seq.scoring else settled[index])
    for before, after in pairwise(tokens):
        assert before.lane.first_pass <= after.lane.first_pass
        if not before.lane.is_draft_fed or not before.is_draft_kept:
            assert after.lane.first_pass > before.lane.last_pass
    if seq.thinks_everywhere:
        assert lasts == sorted(lasts)


def passes_of_thought(token: Verified, seq: Sequence) -> Iterable[int]:
    """How many passes after the first a thought may end; 0 for a token without a thought."""
    length = len(token.lane.thought)
    return [length + 1 if seq.places.asks_gate else length] if length else [0]


def check_dropped(token: Verified, seq: Sequence, *, settled: int) -> None:
    """
    Args:
        settled: the pass in which the token was verified.
    """
    for lane in token.dropped:
        assert lane.draft_id is not None
        assert lane.anchor > token.lane.anchor
        assert token.lane.first_pass <= lane.first_pass <= lane.last_pass <= settled
        # Only guesses share a pass with the token before them.
        assert lane.first_pass > token.lane.first_pass or not seq.thinks_everywhere
    assert not token.dropped or not token.is_draft_kept or not seq.thinks_everywhere
    if token.lane.is_draft_fed and not token.is_draft_kept:
        behind = [lane for lane in token.dropped if lane.anchor == token.lane.anchor + 1]
        assert token.draft_id in [lane.draft_id for lane in behind]


def count_fed(tokens: Iterable[Verified], *, is_kept: bool) -> int:
    return sum(each.lane.is_draft_fed and each.is_draft_kept == is_kept for each in tokens)


@pytest.mark.parametrize("seed", range(60))
def test_every_schedule_gives_passes_in_order(seed: int) -> None:
    draw = random.Random(f"passes {seed}")
    driver, _ = run_mix(draw, draw_config(draw))
    for seq, tokens in driver.verified.items():
        check(seq, tokens)
    everything = [each for tokens in driver.verified.values() for each in tokens]
    scheduler = driver.scheduler
    assert count_fed(everything, is_kept=True) == scheduler.num_accepted
    assert count_fed(everything, is_kept=False) == scheduler.num_rejected
    num_dropped = sum(len(each.dropped) for each in everything)
    assert scheduler.num_accepted + num_dropped <= scheduler.num_drafted


def test_the_schedules_drop_thoughts_and_preempt() -> None:
    """Otherwise the test above would prove little."""
    drivers = []
    for seed in range(60):
        draw = random.Random(f"passes {seed}")
        drivers.append(run_mix(draw, draw_config(draw))[0])
    assert sum(driver.scheduler.num_preemptions for driver in drivers) > 10
    tokens = [each for driver in drivers for some in driver.verified.values() for each in some]
    assert sum(len(each.dropped) > 1 for each in tokens) > 20
    assert sum(bool(each.dropped) and each.is_draft_kept for each in tokens) > 5, "wrong guesses"
    assert sum(each.lane.first_pass == each.lane.last_pass for each in tokens) > 20


@pytest.mark.parametrize("speculation", ["auto", 1, 3])
@pytest.mark.parametrize("places", [EVERYWHERE, BEHIND, GATE])
def test_drafts_are_accepted_dropped_or_unfinished(speculation: object, places: object) -> None:
    """With memory enough, no draft is lost: those in flight at the end are the rest."""
    driver = Driver(EngineConfig(speculation=speculation), num_blocks=1000)  # type: ignore[arg-type]
    seqs = sequences(4, max_tokens=40, places=places, num_thought_tokens=3)
    driver.add(*seqs)
    in_flight = 0
    finish = driver.scheduler.finish

    def counting(seq: Sequence) -> None:
        nonlocal in_flight
        in_flight += seq.wavefront.num_drafts_fed
        finish(seq)

    driver.scheduler.finish = counting  # type: ignore[method-assign]
    driver.run()
    everything = [each for tokens in driver.verified.values() for each in tokens]
    num_dropped = sum(len(each.dropped) for each in everything)
    num_accepted = count_fed(everything, is_kept=True)
    assert num_dropped > 5
    assert driver.scheduler.num_drafted == num_accepted + num_dropped + in_flight


@pytest.mark.parametrize("length", [0, 1, 2, 4])
def test_without_speculation_each_thought_follows_the_one_before(length: int) -> None:
    driver = Driver(EngineConfig(speculation="off"))
    seqs = sequences(3, num_thought_tokens=length)
    driver.add(*seqs)
    driver.run()
    for tokens in driver.verified.values():
        numbers = [(each.lane.first_pass, each.lane.last_pass) for each in tokens]
        assert numbers == [(i * (length + 1), i * (length + 1) + length) for i in range(8)]
        assert not any(each.lane.is_draft_fed or each.dropped for each in tokens)


def test_right_drafts_overlap() -> None:
    """The steady state of the drawing in docs/architecture.md, until a draft is wrong."""
    driver = Driver(EngineConfig(speculation=9))
    seq = make_sequence(PROMPT, max_tokens=60)
    driver.add(seq)
    driver.run()
    tokens = driver.verified[seq]
    overlaps = [
        after.lane.first_pass - before.lane.first_pass
        for before, after in pairwise(tokens)
        if before.is_draft_kept
    ]
    assert len(overlaps) > 20
    assert set(overlaps) == {1}, "a right draft is fed in the pass after its own token"


def test_a_preempted_sequence_counts_on() -> None:
    """Passes that compute the prompt again do not count; those that compute its output do."""
    driver = Driver(EngineConfig(speculation="off", prefix_caching=False, max_rows=4))
    seq = make_sequence(PROMPT, num_thought_tokens=1, max_tokens=4)
    driver.add(seq)
    while len(driver.verified[seq]) < 2:
        driver.step()
    driver.scheduler._preempt(seq, None)
    driver.run()
    numbers = [(each.lane.first_pass, each.lane.last_pass) for each in driver.verified[seq]]
    # Four rows a pass: tokens 0-3, 4-7, then 8-11, which end with an output token.
    assert numbers == [(0, 1), (2, 3), (4, 5), (6, 7)]

"""Drafts, their verification, and the roll-back after a wrong draft."""

import pytest

from qstar_infer.step import SampledToken
from qstar_infer.wavefront.lane import Lane, Slots, num_lane_slots, row_position
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.wavefront import Wavefront

PROMPT = [10, 11, 12]


def decided(lane: Lane, token_id: int) -> None:
    lane.decision = SampledToken(token_id=token_id)


def wave(*drafts: int) -> Wavefront:
    """The prompt and these drafts, all but the last one fed, with a lane at each anchor."""
    wavefront = Wavefront(PROMPT)
    wavefront.feed(3)
    for index, token_id in enumerate(drafts):
        anchor = 2 + index
        wavefront.lanes.append(Lane(anchor=anchor, num_thought_tokens=2))
        if index > 0:
            wavefront.feed(anchor + 1)
        wavefront.add_draft(anchor, token_id)
    return wavefront


def test_drafts_are_separate_from_the_verified_text() -> None:
    wavefront = wave(20, 21)
    assert wavefront.token_ids == PROMPT
    assert (wavefront.num_verified, wavefront.num_known, wavefront.num_drafts_fed) == (3, 5, 1)
    assert [wavefront.token_at(index) for index in range(5)] == [*PROMPT, 20, 21]
    assert wavefront.text_until(2) == [10, 11]
    assert wavefront.text_until(4) == [*PROMPT, 20]


def test_feeding_counts_drafts_and_marks_their_lanes() -> None:
    wavefront = Wavefront(PROMPT)
    assert wavefront.feed(2) == 0
    assert wavefront.feed(3) == 0
    wavefront.lanes.append(Lane(anchor=2, num_thought_tokens=2))
    wavefront.add_draft(2, 20)
    assert not wavefront.lanes[0].is_draft_fed
    wavefront.lanes.append(Lane(anchor=3, num_thought_tokens=2))
    assert wavefront.feed(4) == 1
    assert wavefront.lanes[0].is_draft_fed
    assert [lane.draft_id for lane in wavefront.lanes] == [None, 20]


def test_a_draft_must_follow_the_newest_token() -> None:
    wavefront = wave(20)
    with pytest.raises(AssertionError, match="newest token"):
        wavefront.add_draft(2, 21)


def test_nothing_is_verified_before_the_oldest_lane_has_decided() -> None:
    wavefront = wave(20, 21)
    assert wavefront.verify() is None
    decided(wavefront.lanes[1], 21)
    assert wavefront.verify() is None
    assert wavefront.token_ids == PROMPT


def test_a_right_draft_keeps_later_drafts_and_lanes() -> None:
    wavefront = wave(20, 21, 22)
    first, *others = wavefront.lanes
    decided(first, 20)
    verified = wavefront.verify()
    assert verified is not None
    assert (verified.lane, verified.decision) == (first, first.decision)
    assert (verified.draft_id, verified.is_draft_kept) == (20, True)
    assert verified.dropped == []
    assert wavefront.token_ids == [*PROMPT, 20]
    assert list(wavefront.drafts) == [21, 22]
    assert list(wavefront.lanes) == others
    assert (wavefront.num_computed, wavefront.num_drafts_fed) == (5, 1)


def test_a_wrong_draft_drops_later_drafts_and_lanes() -> None:
    wavefront = wave(20, 21, 22)
    first, *others = wavefront.lanes
    decided(first, 99)
    verified = wavefront.verify()
    assert verified is not None
    assert (verified.draft_id, verified.is_draft_kept) == (20, False)
    assert verified.dropped == others
    assert [lane.draft_id for lane in others] == [20, 21]
    assert wavefront.token_ids == [*PROMPT, 99]
    assert not wavefront.drafts
    assert not wavefront.lanes
    assert wavefront.num_computed == 3  # the target itself is still to be fed


def test_decisions_in_a_row_are_verified_until_one_rolls_back() -> None:
    wavefront = wave(20, 21, 22)
    for lane, token_id in zip(wavefront.lanes, (20, 99, 22), strict=True):
        decided(lane, token_id)
    kept = [verified.is_draft_kept for verified in iter(wavefront.verify, None)]
    assert kept == [True, False]
    assert wavefront.token_ids == [*PROMPT, 20, 99]


def guessing() -> tuple[Wavefront, list[Lane]]:
    """The text after a wrong draft, fed with its four guesses 21 to 24; and their lanes."""
    wavefront = wave(20, 21, 22, 23, 24)
    decided(wavefront.lanes[0], 99)
    assert wavefront.verify() is not None
    lanes = [Lane(anchor=anchor, num_thought_tokens=0) for anchor in range(3, 8)]
    wavefront.lanes.extend(lanes)
    assert wavefront.feed(8) == 4
    return wavefront, lanes


def test_drafts_after_a_wrong_one_become_guesses() -> None:
    wavefront, lanes = guessing()
    assert list(wavefront.guesses) == [21, 22, 23, 24]
    assert (wavefront.num_known, wavefront.num_drafts_fed) == (4, 4)
    assert wavefront.token_at(6) == 23
    assert wavefront.text_until(6) == [*PROMPT, 99, 21, 22]
    assert [lane.is_draft_fed for lane in lanes] == [True, True, True, True, False]


def test_right_guesses_become_drafts() -> None:
    wavefront, lanes = guessing()
    for lane, token_id in zip(lanes, (21, 22, 23, 24, 25), strict=True):
        assert wavefront.add_draft(lane.anchor, token_id) == []
    assert list(wavefront.drafts) == [21, 22, 23, 24, 25]
    assert list(wavefront.lanes) == lanes
    assert not wavefront.guesses
    assert wavefront.num_computed == 8


def test_a_wrong_guess_drops_what_follows_and_guesses_the_rest_again() -> None:
    wavefront, lanes = guessing()
    assert wavefront.add_draft(3, 21) == []
    assert wavefront.add_draft(4, 77) == lanes[:1:-1]
    assert list(wavefront.drafts) == [21, 77]
    assert list(wavefront.lanes) == lanes[:2]
    assert list(wavefront.guesses) == [23, 24]
    assert wavefront.num_computed == 5  # 22 was fed in place of 77
    assert [lane.is_draft_fed for lane in lanes[:2]] == [True, False]


def test_lanes_behind_a_wrong_guess_are_told_with_the_next_token() -> None:
    wavefront, lanes = guessing()
    wavefront.add_draft(3, 21)
    wavefront.add_draft(4, 77)
    decided(lanes[0], 21)
    decided(lanes[1], 98)
    tokens = list(iter(wavefront.verify, None))
    assert [each.dropped for each in tokens] == [lanes[2:], []]
    assert [lane.draft_id for lane in lanes[2:]] == [22, 23, 24]


def test_a_preemption_forgets_the_lanes_behind_wrong_guesses() -> None:
    wavefront, lanes = guessing()
    wavefront.add_draft(3, 77)
    wavefront.forget_computed()
    wavefront.lanes.append(Lane(anchor=3, num_thought_tokens=0))
    wavefront.add_draft(3, 21)
    decided(wavefront.lanes[0], 21)
    verified = wavefront.verify()
    assert verified is not None
    assert verified.dropped == []


def test_if_the_first_guess_is_wrong_no_guess_is_kept() -> None:
    wavefront, lanes = guessing()
    assert wavefront.add_draft(3, 77) == lanes[:0:-1]
    assert not wavefront.guesses


def test_what_a_wrong_guess_has_broken_is_forgotten() -> None:
    wavefront, _ = guessing()
    wavefront.mark_broken(6)
    wavefront.add_draft(3, 21)
    assert wavefront.is_broken(7)
    wavefront.add_draft(4, 77)
    assert not wavefront.is_broken(7)


def test_forgetting_drops_guesses_too() -> None:
    wavefront, lanes = guessing()
    assert wavefront.forget_computed() == lanes
    assert not wavefront.guesses


def test_forgetting_keeps_only_the_verified_text() -> None:
    wavefront = wave(20, 21)
    lanes = list(wavefront.lanes)
    assert wavefront.forget_computed() == lanes
    assert wavefront.token_ids == PROMPT
    assert (wavefront.num_computed, wavefront.num_known) == (0, 3)
    assert not wavefront.lanes


# --- lanes and scores ---------------------------------------------------------------------------


def test_the_last_step_of_a_lane_has_two_rows() -> None:
    lane = Lane(anchor=4, num_thought_tokens=2)
    rows = []
    for token_id in (1, 2):
        lane.thought.append(token_id)
        rows.append(lane.num_next_rows)
    assert rows == [1, 2]
    assert lane.is_at_end


def test_a_lane_has_slots_for_start_thought_and_end() -> None:
    assert [num_lane_slots(length) for length in (0, 1, 5)] == [0, 3, 7]
    assert [row_position(4, depth) for depth in (0, 3)] == [5, 8]


def test_lane_slots_are_given_out_once() -> None:
    slots = Slots(2)
    taken = {slots.take(), slots.take()}
    assert taken == {0, 1}
    with pytest.raises(AssertionError, match="all 2 slots"):
        slots.take()
    slots.give_back(1)
    assert slots.num_in_use == 1
    with pytest.raises(AssertionError, match="given back twice"):
        slots.give_back(1)
    assert slots.take() == 1


def test_scores_come_in_order_and_are_kept_when_lanes_are_dropped() -> None:
    scoring = PromptScoring(4)
    lanes = [Lane(anchor=anchor, num_thought_tokens=2, thought=[1, 2]) for anchor in range(3)]
    scoring.lanes.extend(lanes)
    decided(lanes[1], 31)
    assert list(scoring.settle()) == []
    decided(lanes[0], 30)
    assert list(scoring.settle()) == lanes[:2]
    assert [token.token_id for token in scoring.scores] == [30, 31]
    assert scoring.num_thought_tokens == 4
    assert scoring.forget_in_flight() == lanes[2:]
    assert not scoring.is_complete
    assert [scoring.needs(anchor) for anchor in range(4)] == [False, False, True, False]

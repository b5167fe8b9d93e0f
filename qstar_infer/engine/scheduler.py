"""Decides which sequences run in the next step, and how many tokens they feed. No tensors.

A step first admits waiting sequences while there is room for them. Lanes in flight always advance.
Then decoding sequences feed their next token, oldest first, and prefill uses the rest of the row
budget. When blocks run out, the newest running sequence is preempted and recomputed later, with the
same result.
"""

import bisect
from collections import deque
from collections.abc import Iterable
from itertools import islice

from qstar_infer.config import EngineConfig
from qstar_infer.kv_cache.block_manager import BlockManager
from qstar_infer.wavefront.lane import Lane, LaneSlots, num_lane_slots
from qstar_infer.wavefront.rows import SequenceStep, StepPlan, build_plan
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus
from qstar_infer.wavefront.speculation import SpeculationDepth
from qstar_infer.wavefront.wavefront import Verified


class Scheduler:
    """Owns the queues, the blocks and the slots of the lane buffers."""

    def __init__(self, config: EngineConfig, *, num_blocks: int, speculation_rows: int) -> None:
        self.config = config
        self.blocks = BlockManager(num_blocks, config.block_size)
        self._max_drafts = speculation_rows
        self.lane_slots = LaneSlots(
            config.max_num_seqs + config.scoring_positions + self._max_drafts
        )
        """One slot for each sequence's oldest lane, each scored position and each fed draft."""
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self.num_drafted = 0
        self.num_accepted = 0
        self.num_rejected = 0
        self._depth = SpeculationDepth(config, speculation_rows)
        self._num_arrived = 0

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, seq: Sequence) -> None:
        seq.arrival = self._num_arrived
        self._num_arrived += 1
        self.waiting.append(seq)

    def finish(self, seq: Sequence) -> None:
        """Remove a sequence, running or waiting, and release what it holds."""
        if seq.status is SequenceStatus.RUNNING:
            self.running.remove(seq)
            self._release_all(seq)
        elif seq.status is SequenceStatus.WAITING:
            self.waiting.remove(seq)
        seq.status = SequenceStatus.FINISHED

    # --- one step -----------------------------------------------------------------------------

    def schedule(self) -> StepPlan:
        """Plan the next step and allocate what it needs. The plan may be empty."""
        self._admit()
        num_decoding = sum(not seq.is_prefilling for seq in self.running)
        slots_left = self._max_drafts - sum(map(_num_draft_slots, self.running))
        rows_left = self.config.max_rows
        steps: dict[Sequence, SequenceStep] = {}
        for seq in sorted(self.running, key=lambda seq: (seq.is_prefilling, seq.arrival)):
            if seq.status is not SequenceStatus.RUNNING:
                continue  # preempted earlier in this loop
            depth = self._depth.of(
                seq.num_thought_tokens,
                num_decoding=num_decoding,
                thinks_everywhere=seq.thinks_everywhere,
            )
            wanted = self._feed_end(seq, depth, rows_left, slots_left)
            feed_end = self._reserve(seq, wanted)
            if feed_end is not None:
                rows_left -= feed_end - seq.wavefront.num_computed
                slots_left += _num_draft_slots(seq)
                steps[seq] = self._feed(seq, feed_end)
                slots_left -= _num_draft_slots(seq)
        chosen = [steps[seq] for seq in self.running if seq in steps and steps[seq].num_rows > 0]
        return build_plan(chosen, block_size=self.config.block_size)

    def _admit(self) -> None:
        """Start waiting sequences while blocks for their verified tokens and a thought are free."""
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            seq = self.waiting[0]
            num_tokens = seq.wavefront.num_verified
            needed = self.blocks.blocks_for(num_tokens) + self._lane_blocks(seq)
            if needed > self.blocks.num_free:
                return
            self.waiting.popleft()
            seq.status = SequenceStatus.RUNNING
            # Allocate now, so that `num_free` is right for the next waiting sequence.
            seq.table = self.blocks.open_table()
            self.blocks.grow(seq.table, num_tokens)
            bisect.insort(self.running, seq, key=lambda running: running.arrival)

    def _feed_end(self, seq: Sequence, depth: int, rows_left: int, slots_left: int) -> int:
        """End of the tokens to feed from `num_computed`: verified text with guesses, or a draft.

        Args:
            slots_left: slots of the lane buffers that drafts may still take.
        """
        wavefront = seq.wavefront
        start = wavefront.num_computed
        if start >= wavefront.num_verified:  # the next token is a draft
            is_within_depth = wavefront.num_drafts_fed < depth
            if not is_within_depth or start >= seq.num_feedable:
                return start
            return start + (slots_left > 0 or not seq.may_think_at(start))
        end = min(wavefront.num_verified, seq.num_feedable, start + max(0, rows_left))
        if not seq.is_prompt_scored:
            # Score one chunk at a time, so that scores come in order.
            assert seq.scoring is not None
            end = start if seq.scoring.lanes else min(end, start + self._num_scoring_left())
        if end == wavefront.num_verified:
            end += _num_guesses(seq, min(depth, rows_left - (end - start)), slots_left)
        return end

    def _num_scoring_left(self) -> int:
        """Number of prompt positions, over all sequences, whose scoring may start now."""
        num_in_flight = sum(len(seq.scoring.lanes) for seq in self.running if seq.scoring)
        return max(0, self.config.scoring_positions - num_in_flight)

    def _reserve(self, seq: Sequence, feed_end: int) -> int | None:
        """Make sure that there are blocks to feed tokens `[num_computed, feed_end)`.

        Without free blocks a draft waits, but a verified token preempts the newest sequence, which
        may be this one. A preempted sequence has no part in this step.

        Returns:
            `feed_end`, or an earlier end that fits; None if this sequence was preempted.
        """
        assert seq.table is not None
        start = seq.wavefront.num_computed
        lane_blocks = self._lane_blocks(seq)
        while True:
            anchors = [a for a in range(start, feed_end) if seq.needs_decision(a)]
            num_lanes = sum(map(seq.may_think_at, anchors))
            num_blocks = self.blocks.num_missing(seq.table, feed_end) + lane_blocks * num_lanes
            if num_blocks <= self.blocks.num_free:
                return feed_end
            if len(anchors) > 1:
                feed_end = anchors[len(anchors) // 2]  # score or guess fewer tokens at once
            elif start >= seq.wavefront.num_verified:
                return start
            else:
                newest = self.running[-1]
                self._preempt(newest)
                if newest is seq:
                    return None

    def _feed(self, seq: Sequence, feed_end: int) -> SequenceStep:
        """Allocate blocks, open lanes, and mark the fed tokens as computed."""
        assert seq.table is not None
        fed = range(seq.wavefront.num_computed, feed_end)
        self.blocks.grow(seq.table, feed_end)
        scoring = deque[Lane]() if seq.scoring is None else seq.scoring.lanes
        in_flight = [*scoring, *seq.wavefront.lanes]
        step = SequenceStep(
            seq=seq,
            fed=fed,
            advancing=[lane for lane in in_flight if lane.decision is None],
            opening={a: self._open_lane(seq, a) for a in fed if seq.needs_decision(a)},
        )
        for anchor, lane in step.opening.items():
            (scoring if seq.needs_score(anchor) else seq.wavefront.lanes).append(lane)
        self.num_drafted += seq.wavefront.feed(feed_end)
        return step

    # --- after a step -------------------------------------------------------------------------

    def verify_next(self, seq: Sequence) -> Verified | None:
        """Verify the next token if its lane has decided it, and release what a roll-back drops."""
        verified = seq.wavefront.verify()
        if verified is None:
            return None
        if verified.lane.is_draft_fed:
            self.num_accepted += verified.is_draft_kept
            self.num_rejected += not verified.is_draft_kept
        if not verified.is_draft_kept:
            assert seq.table is not None
            self.release_lanes(verified.dropped)
            self.blocks.shrink(seq.table, seq.wavefront.num_verified)
        return verified

    def release_lanes(self, lanes: Iterable[Lane]) -> None:
        """Release the blocks and slots of lanes that have decided or are dropped."""
        for lane in lanes:
            if lane.table is not None:
                self.blocks.close_table(lane.table)
                lane.table = None
            if lane.buffer_slot is not None:
                self.lane_slots.give_back(lane.buffer_slot)
                lane.buffer_slot = None

    def check_idle(self) -> None:
        """Assert that there is no work and that all blocks and lane slots are free."""
        assert not self.has_work, "the scheduler still has work"
        self.check_integrity()
        assert self.blocks.num_free == self.blocks.num_blocks, "blocks are missing"

    def check_integrity(self) -> None:
        """Assert that a running sequence holds each block table and lane slot in use, once."""
        self.blocks.check_integrity()
        lanes = [lane for seq in self.running for lane in _lanes(seq)]
        num_tables = len(self.running) + sum(lane.table is not None for lane in lanes)
        assert self.blocks.num_tables == num_tables, "a block table is lost"
        num_slots = sum(lane.buffer_slot is not None for lane in lanes)
        assert self.lane_slots.num_in_use == num_slots, "a lane slot is lost"

    # --- blocks and lanes ---------------------------------------------------------------------

    def _lane_blocks(self, seq: Sequence) -> int:
        return self.blocks.blocks_for(num_lane_slots(seq.num_thought_tokens))

    def _open_lane(self, seq: Sequence, anchor: int) -> Lane:
        if not seq.may_think_at(anchor):
            return Lane(anchor=anchor, num_thought_tokens=0)
        table = self.blocks.open_table(is_lane=True)
        self.blocks.grow(table, num_lane_slots(seq.num_thought_tokens))
        return Lane(
            anchor=anchor,
            num_thought_tokens=seq.num_thought_tokens,
            table=table,
            buffer_slot=self.lane_slots.take(),
            asks_gate=seq.places.asks_gate,
        )

    def _preempt(self, seq: Sequence) -> None:
        """Return a sequence to the queue, by arrival; its verified text is recomputed later."""
        self.running.remove(seq)
        self._release_all(seq)
        seq.status = SequenceStatus.WAITING
        bisect.insort(self.waiting, seq, key=lambda waiting: waiting.arrival)
        self.num_preemptions += 1

    def _release_all(self, seq: Sequence) -> None:
        """Release everything except the verified text and the finished scores."""
        self.release_lanes(seq.wavefront.forget_computed())
        if seq.scoring is not None:
            self.release_lanes(seq.scoring.forget_in_flight())
        if seq.table is not None:
            self.blocks.close_table(seq.table)
            seq.table = None


def _lanes(seq: Sequence) -> list[Lane]:
    scoring = () if seq.scoring is None else seq.scoring.lanes
    return [*scoring, *seq.wavefront.lanes]


def _num_draft_slots(seq: Sequence) -> int:
    """Slots of the lane buffers that a sequence's lanes hold, without its oldest lane."""
    return sum(lane.buffer_slot is not None for lane in islice(seq.wavefront.lanes, 1, None))


def _num_guesses(seq: Sequence, limit: int, slots_left: int) -> int:
    """How many guesses to feed after the newest token.

    None after a token that surely is thought about: its thought may overrule the next guess.
    """
    wavefront = seq.wavefront
    num_guesses = 0
    for index in range(wavefront.num_known, min(wavefront.num_known + limit, seq.max_fed)):
        if num_guesses == len(wavefront.guesses) or wavefront.drafts:
            break
        if seq.may_think_at(index - 1) and not seq.places.asks_gate:
            break
        slots_left -= seq.may_think_at(index)
        if slots_left < 0:
            break
        num_guesses += 1
    return num_guesses

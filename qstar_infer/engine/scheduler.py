"""Decides which sequences run in the next step, and how many tokens they feed. No tensors.

A step first admits waiting sequences while there is room for them. Lanes in flight always advance.
Then decoding sequences feed their next token, oldest first, and prefill uses the rest of the row
budget. When blocks run out, the newest running sequence is preempted and recomputed later, with the
same result.
"""

import bisect
from collections import deque

from qstar_infer.config import EngineConfig
from qstar_infer.engine.drafting import draft_end, num_draft_slots, num_guesses
from qstar_infer.engine.sequence_memory import SequenceMemory
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.rows import SequenceStep, StepPlan, build_plan
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus
from qstar_infer.wavefront.speculation import SpeculationDepth
from qstar_infer.wavefront.wavefront import Verified


class Scheduler:
    """Owns the queues and the memory of the running sequences."""

    def __init__(self, config: EngineConfig, *, num_blocks: int, speculation_rows: int) -> None:
        self.config = config
        self._max_drafts = speculation_rows
        self.memory = SequenceMemory(
            num_blocks=num_blocks,
            block_size=config.block_size,
            # One for each sequence's oldest lane, each scored position and each fed draft.
            num_sequences=config.max_num_seqs,
            num_lanes=config.max_num_seqs + config.scoring_positions + self._max_drafts,
        )
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
            self.memory.release_all(seq)
        elif seq.status is SequenceStatus.WAITING:
            self.waiting.remove(seq)
        seq.status = SequenceStatus.FINISHED

    # --- one step -----------------------------------------------------------------------------

    def schedule(self) -> StepPlan:
        """Plan the next step and allocate what it needs. The plan may be empty."""
        self._admit()
        num_decoding = sum(not seq.is_prefilling for seq in self.running)
        slots_left = self._max_drafts - sum(map(num_draft_slots, self.running))
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
                slots_left += num_draft_slots(seq)
                steps[seq] = self._feed(seq, feed_end)
                slots_left -= num_draft_slots(seq)
        chosen = [steps[seq] for seq in self.running if seq in steps and steps[seq].num_rows > 0]
        plan = build_plan(chosen, block_size=self.config.block_size)
        if chosen:  # an empty plan is not run
            plan.batch.released_slots = self.memory.slots.take_released()
            plan.batch.released_lane_slots = self.memory.lane_slots.take_released()
        return plan

    def _admit(self) -> None:
        """Start waiting sequences while blocks for their verified tokens and a thought are free."""
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            seq = self.waiting[0]
            if not self.memory.has_room_to_start(seq):
                return
            self.waiting.popleft()
            seq.status = SequenceStatus.RUNNING
            self.memory.start(seq)
            bisect.insort(self.running, seq, key=lambda running: running.arrival)

    def _feed_end(self, seq: Sequence, depth: int, rows_left: int, slots_left: int) -> int:
        """End of the tokens to feed from `num_computed`: verified text with guesses, or a draft.

        Args:
            slots_left: slots of the lane buffers that drafts may still take.
        """
        wavefront = seq.wavefront
        start = wavefront.num_computed
        if start >= wavefront.num_verified:
            return draft_end(seq, depth, slots_left)
        end = min(wavefront.num_verified, seq.num_feedable, start + max(0, rows_left))
        if not seq.is_prompt_scored:
            # Score one chunk at a time, so that scores come in order.
            assert seq.scoring is not None
            end = start if seq.scoring.lanes else min(end, start + self._num_scoring_left())
        if end == wavefront.num_verified:
            end += num_guesses(seq, min(depth, rows_left - (end - start)), slots_left)
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
        start = seq.wavefront.num_computed
        while True:
            anchors = [a for a in range(start, feed_end) if seq.needs_decision(a)]
            if self.memory.has_room_to_feed(seq, feed_end, anchors):
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
        self.memory.blocks.grow(seq.table, feed_end)
        scoring = deque[Lane]() if seq.scoring is None else seq.scoring.lanes
        in_flight = [*scoring, *seq.wavefront.lanes]
        step = SequenceStep(
            seq=seq,
            fed=fed,
            advancing=[lane for lane in in_flight if lane.decision is None],
            opening={a: self.memory.open_lane(seq, a) for a in fed if seq.needs_decision(a)},
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
            self.memory.release_lanes(verified.dropped)
            self.memory.blocks.shrink(seq.table, seq.wavefront.num_verified)
        return verified

    def check_idle(self) -> None:
        """Assert that there is no work and that all blocks and lane slots are free."""
        assert not self.has_work, "the scheduler still has work"
        self.memory.check_idle()

    def check_integrity(self) -> None:
        """Assert that a running sequence holds each block table and lane slot in use, once."""
        self.memory.check_integrity(self.running)

    def _preempt(self, seq: Sequence) -> None:
        """Return a sequence to the queue, by arrival; its verified text is recomputed later."""
        self.running.remove(seq)
        self.memory.release_all(seq)
        seq.status = SequenceStatus.WAITING
        bisect.insort(self.waiting, seq, key=lambda waiting: waiting.arrival)
        self.num_preemptions += 1

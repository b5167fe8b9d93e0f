"""Decides which sequences run in the next step, and how many tokens they feed. No tensors.

A step first admits waiting sequences while there is room for them. Lanes in flight always advance.
Decoding sequences feed their next token, and prefill uses the rest of the row budget, but no more
than `prefill_rows` while others decode; the number of thoughts about prompt positions has the same
limit. When blocks run out, drafts are given up; then the last running sequence is preempted and
continued later, with the same result.

The order is that of `Sequence.rank`: by priority, then by arrival. The last sequence is the one of
the lowest priority (the highest number), and of these the newest.
"""

import bisect
from collections import deque
from itertools import islice

from qstar_infer.config import EngineConfig
from qstar_infer.engine.drafting import draft_end, num_draft_slots, num_guesses
from qstar_infer.engine.prefill import share_rows
from qstar_infer.engine.sequence_memory import SequenceMemory
from qstar_infer.step import StepResult
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.record import record_result
from qstar_infer.wavefront.rows import SequenceStep, StepPlan, build_plan
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus
from qstar_infer.wavefront.speculation import SpeculationDepth
from qstar_infer.wavefront.wavefront import Verified


class Scheduler:
    """Owns the queues and the memory of the running sequences."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        num_blocks: int,
        prefill_rows: int | None = None,
    ) -> None:
        """
        Args:
            prefill_rows: most tokens that prefill feeds in a step in which others decode; None:
                what they leave of `max_rows`.
        """
        self.config = config
        self._prefill_rows = config.max_rows if prefill_rows is None else prefill_rows
        self.memory = SequenceMemory(
            num_blocks=num_blocks,
            block_size=config.block_size,
            num_sequences=config.max_num_seqs,
            num_lanes=config.num_lanes,
            prefix_caching=config.prefix_caching,
        )
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        """Both in the order of their ranks."""
        self.num_preemptions = 0
        self.num_drafted = 0
        self.num_accepted = 0
        self.num_rejected = 0
        self._depth = SpeculationDepth(config.fixed_depth)
        self._only_decodes = True
        self._num_arrived = 0

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, seq: Sequence) -> None:
        seq.arrival = self._num_arrived
        self._num_arrived += 1
        bisect.insort(self.waiting, seq, key=_rank)

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
        steps: dict[Sequence, SequenceStep] = {}
        decoding = [seq for seq in self.running if not seq.is_prefilling]
        drafting = [seq for seq in decoding if seq.is_drafting]
        is_scored = all(seq.is_prompt_scored for seq in self.running)
        self._only_decodes = is_scored and len(decoding) == len(self.running)
        self._depth.prepare(decoding)
        rows_left = self.config.max_rows
        for seq in decoding:
            if seq not in drafting:
                rows_left -= self._schedule_one(seq, rows_left, steps)
        rows_left -= len(drafting)
        if self._someone_decodes:
            rows_left = min(rows_left, self._prefill_rows)
        for seq, num_rows in share_rows(self._wanted(), max(0, rows_left)).items():
            self._schedule_one(seq, num_rows, steps)
        # Last, so that their drafts can be given up for the others.
        for seq in drafting:
            self._schedule_one(seq, 1, steps)
        chosen = [steps[seq] for seq in self.running if seq in steps and steps[seq].num_rows > 0]
        plan = build_plan(chosen, block_size=self.config.block_size)
        if chosen:  # an empty plan is not run
            plan.batch.released_slots = self.memory.slots.take_released()
            plan.batch.released_lane_slots = self.memory.lane_slots.take_released()
        return plan

    def _wanted(self) -> dict[Sequence, int]:
        """Number of tokens that each prefilling sequence could feed with rows enough."""
        return {
            seq: self._feed_end(seq, 0, seq.num_feedable, 0) - seq.wavefront.num_computed
            for seq in self.running
            if seq.is_prefilling
        }

    def _schedule_one(
        self, seq: Sequence, num_rows: int, steps: dict[Sequence, SequenceStep]
    ) -> int:
        """Add a sequence's part to `steps`, unless it is or was preempted.

        Args:
            num_rows: most tokens to feed.

        Returns:
            How many tokens are fed.
        """
        if seq.status is not SequenceStatus.RUNNING:
            return 0  # preempted earlier in this step
        slots_left = self.config.max_drafts - sum(map(num_draft_slots, self.running))
        wanted = self._feed_end(seq, self._depth.of(seq), num_rows, slots_left)
        feed_end = self._reserve(seq, wanted, steps)
        if feed_end is None:
            return 0
        steps[seq] = self._feed(seq, feed_end)
        return len(steps[seq].fed)

    def _admit(self) -> None:
        """Start waiting sequences while there is room, or sequences of lower priority to preempt.

        One that waits only for a block that a running sequence is about to share may be overtaken.
        """
        pending = [block for seq in self.running if (block := self.memory.next_block(seq))]
        for seq in tuple(self.waiting):
            if self.memory.awaits(seq, pending):
                continue
            is_room_made = False
            while not self._start(seq):
                if not self.running or self.running[-1].priority <= seq.priority:
                    return
                self._preempt(self.running[-1], None)
                is_room_made = True
            if is_room_made:
                return  # those that were preempted are next
            if (block := self.memory.next_block(seq)) is not None:
                pending.append(block)

    def _start(self, seq: Sequence) -> bool:
        """Start a waiting sequence; False if there is no room for it."""
        if len(self.running) >= self.config.max_num_seqs or not self.memory.start(seq):
            return False
        self.waiting.remove(seq)
        seq.status = SequenceStatus.RUNNING
        bisect.insort(self.running, seq, key=_rank)
        return True

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
        if seq.scoring is not None and not seq.is_prompt_scored:
            # One chunk at a time: its lanes need blocks to end before others can begin.
            end = start if seq.scoring.lanes else self._chunk_end(seq, start, end)
        if end == wavefront.num_verified:
            end += num_guesses(seq, min(depth, rows_left - (end - start)), slots_left)
        return end

    def _chunk_end(self, seq: Sequence, start: int, end: int) -> int:
        """End of the tokens to feed from `start`, at most `end`, of a prompt that is scored.

        Only positions with a thought are limited. The others need no memory after their pass.
        """
        thinking = (
            anchor
            for anchor in range(start, end)
            if seq.needs_score(anchor) and seq.may_think_at(anchor)
        )
        return next(islice(thinking, self._num_scoring_left(), None), end)

    def _num_scoring_left(self) -> int:
        """Number of thoughts about prompt positions, over all sequences, that may start now."""
        most = self.config.scoring_positions
        if self._someone_decodes:
            most = min(most, self._prefill_rows)
        lanes = [lane for seq in self.running if seq.scoring for lane in seq.scoring.lanes]
        return max(0, most - sum(lane.table is not None for lane in lanes))

    @property
    def _someone_decodes(self) -> bool:
        """Whether prefill and prompt scoring must not take long, because others wait for tokens."""
        return any(not seq.is_prefilling and seq.is_prompt_scored for seq in self.running)

    def _reserve(
        self, seq: Sequence, feed_end: int, steps: dict[Sequence, SequenceStep]
    ) -> int | None:
        """Make sure that there are blocks to feed tokens `[num_computed, feed_end)`.

        Without free blocks a draft waits, but for a verified token others give up their drafts, or
        the last running sequence is preempted, which may be this one. A preempted sequence has no
        part in this step.

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
            elif not self._give_up_drafts(steps):
                last = self.running[-1]
                self._preempt(last, steps.pop(last, None))
                if last is seq:
                    return None

    def _give_up_drafts(self, steps: dict[Sequence, SequenceStep]) -> bool:
        """Drop the drafts of the last sequence that has some and is not in this step yet.

        Returns:
            Whether there is such a sequence.
        """
        others = (seq for seq in reversed(self.running) if seq not in steps)
        return any(map(self.memory.give_up_drafts, others))

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

    def note_step(self, plan: StepPlan, seconds: float) -> None:
        """Learn from the time of the newest step what rows cost."""
        if self._only_decodes:
            self._depth.note_step(plan.batch.num_rows, seconds)

    def record(self, step: SequenceStep, result: StepResult) -> None:
        """Apply a sequence's share of a step's result."""
        self.memory.release_lanes(record_result(step, result))
        self.memory.publish(step.seq)

    def verify_next(self, seq: Sequence) -> Verified | None:
        """Verify the next token if its lane has decided it, and release what a roll-back drops.

        Blocks that are full of verified text are published.
        """
        verified = seq.wavefront.verify()
        if verified is None:
            return None
        if seq.thinks_everywhere and seq.num_thought_tokens:
            self._depth.note_decision(seq, is_draft_kept=verified.is_draft_kept)
        if verified.lane.is_draft_fed:
            self.num_accepted += verified.is_draft_kept
            self.num_rejected += not verified.is_draft_kept
        if not verified.is_draft_kept:
            assert seq.table is not None
            self.memory.release_lanes(verified.dropped)
            self.memory.blocks.shrink(seq.table, seq.wavefront.num_verified)
        self.memory.publish(seq)
        return verified

    def check_idle(self) -> None:
        """Assert that there is no work and that all blocks and lane slots are free."""
        assert not self.has_work, "the scheduler still has work"
        self.memory.check_idle()

    def check_integrity(self) -> None:
        """Assert that a running sequence holds each block table and lane slot in use, once."""
        self.memory.check_integrity(self.running)

    def _preempt(self, seq: Sequence, step: SequenceStep | None) -> None:
        """Return a sequence to the queue. It keeps its verified text and finished scores.

        Args:
            step: its part in the step that is being planned, which will not run.
        """
        self.running.remove(seq)
        num_computed = seq.wavefront.num_computed if step is None else step.fed.start
        seq.num_given_up = min(num_computed, seq.wavefront.num_verified)
        self.memory.release_all(seq)
        seq.status = SequenceStatus.WAITING
        bisect.insort(self.waiting, seq, key=_rank)
        self.num_preemptions += 1


def _rank(seq: Sequence) -> tuple[int, int]:
    return seq.rank

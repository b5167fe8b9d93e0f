"""Who runs in the next step, and how far. No tensors.

Oldest first: lanes in flight always advance; then decoding sequences feed their frontier; then
prefill takes what is left of the row budget; then waiting sequences are admitted. Out of blocks,
the newest running sequence is preempted and later recomputed, with the same result.
"""

import bisect
from collections import deque

from qstar_infer.config import EngineConfig
from qstar_infer.engine.block_manager import BlockManager, SlotCounter
from qstar_infer.engine.rows import SequenceRows, build_rows
from qstar_infer.engine.sequence import Lane, Sequence, SequenceStatus

ROWS_BESIDE_DRAFTS = 3
"""Rows of a thinking sequence in steady state beside one for each draft: the frontier, its start
row, and the second row of a lane's last step."""


class Scheduler:
    """Owns the queues, the blocks and the lanes' buffer slots."""

    def __init__(self, config: EngineConfig, *, num_blocks: int, speculation_rows: int) -> None:
        self.config = config
        self.blocks = BlockManager(num_blocks, config.block_size)
        self.buffer_slots = SlotCounter()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self.num_drafted = 0
        self.num_accepted = 0
        self.num_rejected = 0
        self._speculation_rows = speculation_rows
        self._num_arrived = 0

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def blocks_needed(self, num_tokens: int, num_thought_tokens: int) -> int:
        """Blocks that a sequence holds at most, alone and without speculation."""
        return self.blocks.blocks_for(num_tokens) + self._lane_blocks(num_thought_tokens)

    def add(self, seq: Sequence) -> None:
        seq.arrival = self._num_arrived
        self._num_arrived += 1
        self.waiting.append(seq)

    def finish(self, seq: Sequence) -> None:
        """Take a sequence out, whatever its state, and free what it holds."""
        if seq.status is SequenceStatus.RUNNING:
            self.running.remove(seq)
        elif seq.status is SequenceStatus.WAITING:
            self.waiting.remove(seq)
        self._release_all(seq)
        seq.status = SequenceStatus.FINISHED

    # --- one step -----------------------------------------------------------------------------

    def schedule(self) -> list[SequenceRows]:
        """The rows of the next step, oldest sequence first; allocates what they need."""
        self._admit()
        rows_per_sequence = self._rows_per_sequence()
        rows_left = self.config.max_rows
        steps: dict[Sequence, SequenceRows] = {}
        for seq in sorted(self.running, key=lambda seq: (seq.is_prefilling, seq.arrival)):
            if seq.status is not SequenceStatus.RUNNING:
                continue  # preempted a moment ago
            depth = self._depth(seq, rows_per_sequence)
            feed_end = self._reserve(seq, self._feed_end(seq, depth, rows_left), steps)
            if feed_end is not None:
                rows_left -= feed_end - seq.num_computed
                steps[seq] = self._feed(seq, feed_end)
        return [steps[seq] for seq in self.running if seq in steps and steps[seq].num_rows > 0]

    def _admit(self) -> None:
        """Start waiting sequences while there is room for all they have to compute."""
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            seq = self.waiting[0]
            needed = self.blocks_needed(seq.num_verified, seq.num_thought_tokens)
            if needed > self.blocks.num_free:
                return
            self.waiting.popleft()
            seq.status = SequenceStatus.RUNNING
            # Take the blocks now, so that the next in line sees what is truly free.
            seq.block_table += self.blocks.allocate(self.blocks.blocks_for(seq.num_verified))
            bisect.insort(self.running, seq, key=lambda running: running.arrival)

    def _rows_per_sequence(self) -> int:
        """Rows a decoding sequence may use while a step with all of them stays cheap."""
        num_decoding = sum(not seq.is_prefilling for seq in self.running)
        return self._speculation_rows // max(1, num_decoding)

    def _depth(self, seq: Sequence, rows_per_sequence: int) -> int:
        """Unverified tokens this sequence may feed; more than its thought length is no use."""
        depth = self.config.max_depth
        if depth is None:
            depth = max(0, rows_per_sequence - ROWS_BESIDE_DRAFTS)
        return min(depth, seq.num_thought_tokens)

    def _feed_end(self, seq: Sequence, depth: int, rows_left: int) -> int:
        """Feed tokens `[num_computed, feed_end)`: a piece of the known text, or a draft."""
        start = seq.num_computed
        if start >= seq.num_verified:  # the next token is a draft
            is_within_depth = start - seq.num_verified < depth
            return start + (is_within_depth and start < seq.num_feedable)
        end = min(seq.num_verified, seq.num_feedable, start + max(0, rows_left))
        if not seq.is_prompt_scored:
            # One piece of scoring thoughts at a time, so that scores come in order.
            end = start if seq.scoring_lanes else min(end, start + self._scoring_left())
        return end

    def _scoring_left(self) -> int:
        """Prompt positions that may start being scored now, over all sequences."""
        num_in_flight = sum(len(seq.scoring_lanes) for seq in self.running)
        return max(0, self.config.scoring_positions - num_in_flight)

    def _reserve(
        self, seq: Sequence, feed_end: int, steps: dict[Sequence, SequenceRows]
    ) -> int | None:
        """Make sure of the blocks for feeding `[num_computed, feed_end)`.

        A draft that finds no blocks waits. A verified token that finds none preempts the newest
        sequence (undoing its part in this step), which may be this one.

        Returns:
            `feed_end`, or an earlier end that fits; None if the sequence itself was preempted.
        """
        lane_blocks = self._lane_blocks(seq.num_thought_tokens)
        while True:
            anchors = [a for a in range(seq.num_computed, feed_end) if seq.needs_choice(a)]
            num_blocks = self._num_missing(seq, feed_end) + lane_blocks * len(anchors)
            if num_blocks <= self.blocks.num_free:
                return feed_end
            if len(anchors) > 1:
                feed_end = anchors[len(anchors) // 2]  # score fewer prompt positions at once
            elif seq.num_computed >= seq.num_verified:
                return seq.num_computed
            else:
                newest = self.running[-1]
                self._preempt(newest)
                steps.pop(newest, None)
                if newest is seq:
                    return None

    def _feed(self, seq: Sequence, feed_end: int) -> SequenceRows:
        """Allocate, build the rows, and count the fed tokens as computed."""
        seq.block_table += self.blocks.allocate(self._num_missing(seq, feed_end))
        fed = range(seq.num_computed, feed_end)
        new_lanes = {a: self._new_lane(seq, a) for a in fed if seq.needs_choice(a)}
        for index in fed:
            if index >= seq.num_verified:  # a draft: the lane that will judge it is in flight
                seq.lanes[index - seq.num_verified].was_fed = True
                self.num_drafted += 1
        rows = build_rows(
            seq, feed_end=feed_end, new_lanes=new_lanes, block_size=self.config.block_size
        )
        for anchor, lane in new_lanes.items():
            (seq.scoring_lanes if seq.needs_score(anchor) else seq.lanes).append(lane)
        seq.num_computed = feed_end
        return rows

    # --- after a step -------------------------------------------------------------------------

    def pop_verified(self, seq: Sequence) -> Lane | None:
        """Settle the oldest undecided anchor, if its lane has decided.

        If the draft differed from the target, the target has taken its place and all that was
        built on the draft is gone.
        """
        lane = seq.next_decision()
        if lane is None or lane.choice is None:
            return None
        seq.lanes.popleft()
        is_same = seq.verify(lane.choice.token_id)
        if lane.was_fed:
            self.num_accepted += is_same
            self.num_rejected += not is_same
        if not is_same:
            self._drop(seq.lanes)
            surplus = seq.block_table[self.blocks.blocks_for(seq.num_verified) :]
            del seq.block_table[self.blocks.blocks_for(seq.num_verified) :]
            self.blocks.release(surplus)
        return lane

    def release_lane(self, lane: Lane) -> None:
        """Free what a lane holds, once it has decided or is dropped."""
        self.blocks.release(lane.blocks)
        if lane.buffer_slot is not None:
            self.buffer_slots.give_back(lane.buffer_slot)
            lane.buffer_slot = None

    def check_idle(self) -> None:
        """Without work, everything has come back."""
        assert not self.has_work, "the scheduler still has work"
        self.check_integrity()

    def check_integrity(self) -> None:
        """Recount: every block and buffer slot in use is held, once, by a running sequence."""
        lanes = [lane for seq in self.running for lane in (*seq.lanes, *seq.scoring_lanes)]
        tables = [*(seq.block_table for seq in self.running), *(lane.blocks for lane in lanes)]
        held = [block for table in tables for block in table]
        assert len(set(held)) == len(held), "a block is held twice"
        assert len(held) + self.blocks.num_free == self.blocks.num_blocks, "blocks are missing"
        num_slots = sum(lane.buffer_slot is not None for lane in lanes)
        assert self.buffer_slots.num_in_use == num_slots, "buffer slots are missing"
        self.blocks.check_integrity()

    # --- blocks and lanes ---------------------------------------------------------------------

    def _lane_blocks(self, num_thought_tokens: int) -> int:
        """Blocks of a lane: start, the thought, end. A thought of length 0 needs none."""
        return self.blocks.blocks_for(num_thought_tokens + 2) if num_thought_tokens else 0

    def _num_missing(self, seq: Sequence, feed_end: int) -> int:
        return max(0, self.blocks.blocks_for(feed_end) - len(seq.block_table))

    def _new_lane(self, seq: Sequence, anchor: int) -> Lane:
        if seq.num_thought_tokens == 0:
            return Lane(anchor=anchor)
        return Lane(
            anchor=anchor,
            buffer_slot=self.buffer_slots.take(),
            blocks=self.blocks.allocate(self._lane_blocks(seq.num_thought_tokens)),
        )

    def _preempt(self, seq: Sequence) -> None:
        """Back to the head of the queue; the verified text stays and is recomputed later."""
        self.running.remove(seq)
        self._release_all(seq)
        seq.forget_unverified()
        seq.status = SequenceStatus.WAITING
        bisect.insort(self.waiting, seq, key=lambda waiting: waiting.arrival)
        self.num_preemptions += 1

    def _drop(self, lanes: deque[Lane]) -> None:
        for lane in lanes:
            self.release_lane(lane)
        lanes.clear()

    def _release_all(self, seq: Sequence) -> None:
        self._drop(seq.lanes)
        self._drop(seq.scoring_lanes)
        self.blocks.release(seq.block_table)

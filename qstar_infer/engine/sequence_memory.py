"""The blocks and lane slots that running sequences hold. Accounting only, no tensors."""

from collections.abc import Iterable
from collections.abc import Sequence as Items

from qstar_infer.kv_cache.block_manager import BlockManager
from qstar_infer.wavefront.lane import Lane, Slots, num_lane_slots
from qstar_infer.wavefront.sequence import Sequence


class SequenceMemory:
    """Gives sequences and their lanes blocks and lane slots, and takes them back."""

    def __init__(
        self, *, num_blocks: int, block_size: int, num_lanes: int, num_sequences: int
    ) -> None:
        self.blocks = BlockManager(num_blocks, block_size)
        self.lane_slots = Slots(num_lanes)
        self.slots = Slots(num_sequences)

    def has_room_to_start(self, seq: Sequence) -> bool:
        """Whether blocks for a sequence's verified tokens and a thought are free."""
        needed = self.blocks.blocks_for(seq.wavefront.num_verified) + self._lane_blocks(seq)
        return needed <= self.blocks.num_free

    def start(self, seq: Sequence) -> None:
        """Allocate the blocks of the verified tokens, so that `num_free` is right for the next."""
        seq.slot = self.slots.take()
        seq.table = self.blocks.open_table()
        self.blocks.grow(seq.table, seq.wavefront.num_verified)

    def has_room_to_feed(self, seq: Sequence, feed_end: int, anchors: Items[int]) -> bool:
        """Whether blocks to feed the tokens before `feed_end`, and for lanes at these anchors, are
        free."""
        assert seq.table is not None
        num_lanes = sum(map(seq.may_think_at, anchors))
        needed = self.blocks.num_missing(seq.table, feed_end) + self._lane_blocks(seq) * num_lanes
        return needed <= self.blocks.num_free

    def open_lane(self, seq: Sequence, anchor: int) -> Lane:
        if not seq.may_think_at(anchor):
            return Lane(anchor=anchor, num_thought_tokens=0)
        table = self.blocks.open_table()
        self.blocks.grow(table, num_lane_slots(seq.num_thought_tokens))
        return Lane(
            anchor=anchor,
            num_thought_tokens=seq.num_thought_tokens,
            table=table,
            buffer_slot=self.lane_slots.take(),
            asks_gate=seq.places.asks_gate,
        )

    def release_lanes(self, lanes: Iterable[Lane]) -> None:
        """Release the blocks and slots of lanes that have decided or are dropped."""
        for lane in lanes:
            if lane.table is not None:
                self.blocks.close_table(lane.table)
                lane.table = None
            if lane.buffer_slot is not None:
                self.lane_slots.give_back(lane.buffer_slot)
                lane.buffer_slot = None

    def release_all(self, seq: Sequence) -> None:
        """Release everything except the verified text and the finished scores."""
        self.release_lanes(seq.wavefront.forget_computed())
        if seq.scoring is not None:
            self.release_lanes(seq.scoring.forget_in_flight())
        if seq.table is not None:
            self.blocks.close_table(seq.table)
            seq.table = None
        if seq.slot is not None:
            self.slots.give_back(seq.slot)
            seq.slot = None

    def check_idle(self) -> None:
        """Assert that all blocks and lane slots are free."""
        self.check_integrity(())
        assert self.blocks.num_free == self.blocks.num_blocks, "blocks are missing"

    def check_integrity(self, running: Items[Sequence]) -> None:
        """Assert that a running sequence holds each block table and lane slot in use, once."""
        self.blocks.check_integrity()
        lanes = [lane for seq in running for lane in _lanes(seq)]
        num_tables = len(running) + sum(lane.table is not None for lane in lanes)
        assert self.blocks.num_tables == num_tables, "a block table is lost"
        num_slots = sum(lane.buffer_slot is not None for lane in lanes)
        assert self.lane_slots.num_in_use == num_slots, "a lane slot is lost"
        assert self.slots.num_in_use == len(running), "the slot of a sequence is lost"

    def _lane_blocks(self, seq: Sequence) -> int:
        return self.blocks.blocks_for(num_lane_slots(seq.num_thought_tokens))


def _lanes(seq: Sequence) -> list[Lane]:
    scoring = () if seq.scoring is None else seq.scoring.lanes
    return [*scoring, *seq.wavefront.lanes]

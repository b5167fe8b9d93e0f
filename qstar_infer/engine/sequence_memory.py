"""The blocks and lane slots that running sequences hold. Accounting only, no tensors."""

from collections.abc import Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass

from qstar_infer.kv_cache.block_manager import BlockManager
from qstar_infer.kv_cache.prefix_cache import BlockKey
from qstar_infer.wavefront.lane import Lane, Slots, num_lane_slots
from qstar_infer.wavefront.sequence import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBlock:
    """A full block of known text that a running sequence is computing."""

    index: int
    """Index of the block in the text."""
    key: BlockKey
    priority: int
    """That of the sequence."""


class SequenceMemory:
    """Gives sequences and their lanes blocks and lane slots, and takes them back.

    With prefix caching, a sequence starts with the blocks of its text that were computed before,
    and shares its own. Lanes and drafts are never shared.

    Attributes:
        num_queried: number of tokens of all sequences that were looked up when they started.
        num_found: how many of these were in the prefix cache.
        num_recomputed: number of tokens that were computed again after preemptions.
    """

    def __init__(
        self,
        *,
        num_blocks: int,
        block_size: int,
        num_sequences: int,
        num_lanes: int,
        prefix_caching: bool,
    ) -> None:
        self.blocks = BlockManager(num_blocks, block_size)
        self.slots = Slots(num_sequences)
        self.lane_slots = Slots(num_lanes)
        self._prefix_caching = prefix_caching
        self.num_queried = 0
        self.num_found = 0
        self.num_recomputed = 0

    def start(self, seq: Sequence) -> bool:
        """Give a waiting sequence blocks for its verified tokens, and the computed ones among them.

        Returns:
            False, with no effect, if not enough blocks for them and for a thought are free.
        """
        shared = self.blocks.find_cached(self._reusable_keys(seq))
        num_verified = seq.wavefront.num_verified
        needed = self.blocks.blocks_for(num_verified) - len(shared) + self._lane_blocks(seq)
        if needed > self.blocks.num_free_besides(shared):
            return False
        seq.slot = self.slots.take()
        seq.table = self.blocks.open_table(shared)
        self.blocks.grow(seq.table, num_verified)
        seq.wavefront.num_computed = len(shared) * self.blocks.block_size
        self._count_start(seq)
        return True

    def publish(self, seq: Sequence) -> None:
        """Share the full blocks of a running sequence's verified text. Call it between steps."""
        if seq.table is None or not self._prefix_caching:
            return
        num_full = seq.wavefront.num_settled // self.blocks.block_size
        if num_full > seq.table.num_published:
            self.blocks.publish(seq.table, self._keys(seq)[:num_full])

    def next_block(self, running: Sequence) -> PendingBlock | None:
        """The block that a running sequence publishes next; None if its text is not known yet."""
        if not self._prefix_caching or not running.is_prompt_scored:
            return None  # scoring takes long
        assert running.table is not None
        index, keys = running.table.num_published, self._keys(running)
        if index == len(keys):
            return None
        return PendingBlock(index=index, key=keys[index], priority=running.priority)

    def awaits(self, seq: Sequence, pending: Iterable[PendingBlock]) -> bool:
        """Whether a waiting sequence can soon share one of these, instead of computing it."""
        keys = self._reusable_keys(seq)
        return any(
            block.index < len(keys)
            and block.key == keys[block.index]  # so that the texts before it are equal too
            and block.priority <= seq.priority
            for block in pending
        )

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
        table = self.blocks.open_table(is_lane=True)
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

    def give_up_drafts(self, seq: Sequence) -> bool:
        """Release the lanes and blocks of drafts.

        Returns:
            Whether there were any.
        """
        dropped = seq.wavefront.drop_drafts()
        self.release_lanes(dropped)
        if dropped and seq.table is not None:
            self.blocks.shrink(seq.table, seq.wavefront.num_verified)
        return bool(dropped)

    def release_all(self, seq: Sequence) -> None:
        """Release the blocks and lanes of a sequence, and forget what it has computed.

        Published blocks stay in the prefix cache until they are needed.
        """
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

    def _keys(self, seq: Sequence) -> Items[BlockKey]:
        """Keys of the full blocks of the verified text."""
        return seq.text_keys.of(seq.wavefront.token_ids, self.blocks.block_size)

    def _reusable_keys(self, seq: Sequence) -> Items[BlockKey]:
        """Keys of the full blocks that need not be computed if the cache has them."""
        if not self._prefix_caching:
            return ()
        return self._keys(seq)[: seq.num_reusable // self.blocks.block_size]

    def _count_start(self, seq: Sequence) -> None:
        num_found = seq.wavefront.num_computed
        if seq.num_cached_tokens is not None:
            self.num_recomputed += max(0, seq.num_given_up - num_found)
            return
        seq.num_cached_tokens = num_found
        if self._prefix_caching and seq.is_prompt_scored:
            self.num_queried += seq.wavefront.num_verified
            self.num_found += num_found

    def _lane_blocks(self, seq: Sequence) -> int:
        return self.blocks.blocks_for(num_lane_slots(seq.num_thought_tokens))


def _lanes(seq: Sequence) -> list[Lane]:
    scoring = () if seq.scoring is None else seq.scoring.lanes
    return [*scoring, *seq.wavefront.lanes]

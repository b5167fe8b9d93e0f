"""Who owns which key/value block. Pure accounting: no tensors.

    blocks [0, num_blocks) = free  |  a sequence's block_table  |  a lane's scratch

Ask first (`num_free`), then commit (`allocate`).
"""


class BlockManager:
    """Hands out block ids and takes them back."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free = list(range(num_blocks - 1, -1, -1))
        self._is_free = [True] * num_blocks

    @property
    def num_free(self) -> int:
        return len(self._free)

    def blocks_for(self, num_slots: int) -> int:
        """Blocks that hold this many slots."""
        return -(-num_slots // self.block_size)

    def allocate(self, count: int) -> list[int]:
        """Take `count` blocks; the caller has seen that they are free."""
        assert count <= self.num_free, f"{count} blocks wanted, {self.num_free} free"
        blocks = [self._free.pop() for _ in range(count)]
        for block in blocks:
            self._is_free[block] = False
        return blocks

    def release(self, blocks: list[int]) -> None:
        """Give blocks back and empty the list, so that nobody uses it again."""
        for block in reversed(blocks):
            assert not self._is_free[block], f"block {block} released twice"
            self._is_free[block] = True
            self._free.append(block)
        blocks.clear()

    def check_integrity(self) -> None:
        """Recount: every block is free once or owned."""
        assert len(set(self._free)) == len(self._free), "a block is free twice"
        assert sum(self._is_free) == len(self._free), "the free list and the marks disagree"


class SlotCounter:
    """Small integers in use at once, lowest first: the rows of a buffer that grows on demand."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def give_back(self, slot: int) -> None:
        self._free.append(slot)

    @property
    def num_in_use(self) -> int:
        return self._next - len(self._free)

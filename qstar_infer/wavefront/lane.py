"""One thought in flight, and where its rows lie.

    depth       0        1 .. n       n + 1
    row         start    c_1 .. c_n   end
    position    a + 1    ...          a + 2 + n      for the anchor a

The rows of depth n and n + 1 share a pass, since keys are written before attention reads them.
"""

from dataclasses import dataclass, field

from qstar_infer.kv_cache.block_manager import BlockTable
from qstar_infer.step import SampledToken


def num_lane_slots(num_thought_tokens: int) -> int:
    """Key/value slots of one thought: start, its tokens, end. A thought of length 0 has none."""
    return num_thought_tokens + 2 if num_thought_tokens else 0


def row_position(anchor: int, depth: int) -> int:
    """Position of a lane's row in the text."""
    return anchor + 1 + depth


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """One thought at one anchor.

    While in flight it has a block table and a slot in the lane buffers. A lane without a thought
    (the model does not think here) has neither, and decides by its base logits.
    """

    anchor: int
    num_thought_tokens: int
    table: BlockTable | None = None
    buffer_slot: int | None = None
    """Where the lane buffers keep the state and the base logits at the anchor."""
    thought: list[int] = field(default_factory=list)
    """The tokens sampled so far."""
    decision: SampledToken | None = None
    """The token after the anchor, once it is decided."""
    is_draft_fed: bool = False
    """The draft after the anchor was fed before this lane decided."""

    @property
    def is_at_end(self) -> bool:
        """The next step feeds the last thought token and the end vector."""
        return len(self.thought) == self.num_thought_tokens

    @property
    def num_next_rows(self) -> int:
        """Rows of a lane in flight in the next step."""
        return 2 if self.is_at_end else 1


class LaneSlots:
    """Which slots of the lane buffers are in use."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots - 1, -1, -1))

    @property
    def num_in_use(self) -> int:
        return self.num_slots - len(self._free)

    def take(self) -> int:
        assert self._free, f"all {self.num_slots} lane slots are in use"
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        assert slot not in self._free, f"lane slot {slot} was given back twice"
        self._free.append(slot)

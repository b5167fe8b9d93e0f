"""One thought in flight, and the positions of its rows.

    depth       0        1 .. n       n + 1
    row         start    c_1 .. c_n   end
    position    a + 1    ...          a + 2 + n      for the anchor a

The rows at depth n and n + 1 share a pass, because each layer writes keys before it reads them. So
do the anchor's row and the start, unless a gate must see the anchor's state first.
"""

from dataclasses import dataclass, field

from qstar_infer.kv_cache.block_manager import BlockTable
from qstar_infer.step import Fault, SampledToken


def num_lane_slots(num_thought_tokens: int) -> int:
    """Key/value slots of one thought: start, its tokens, end. 0 for a thought of length 0."""
    return num_thought_tokens + 2 if num_thought_tokens else 0


def row_position(anchor: int, depth: int) -> int:
    """Position of a lane's row, which continues the numbering of the text after the anchor."""
    return anchor + 1 + depth


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """One thought at one anchor.

    A lane in flight has a block table and a slot in the lane buffers. A lane without a thought (its
    thought length is 0) has neither, and its base logits decide the token.
    """

    anchor: int
    num_thought_tokens: int
    table: BlockTable | None = None
    buffer_slot: int | None = None
    """Slot of the lane buffers that holds the state and the base logits at the anchor."""
    thought: list[int] = field(default_factory=list)
    """The thought tokens sampled so far."""
    decision: SampledToken | None = None
    """The token after the anchor; None until it is decided."""
    asks_gate: bool = False
    """Whether the gate decides, in the anchor's pass, if this lane thinks. Then its start row comes
    a pass later."""
    is_draft_fed: bool = False
    """Whether the draft after the anchor was fed before this lane decided."""
    draft_id: int | None = None
    """The draft or guess at the anchor, if it was fed as one."""
    first_pass: int = 0
    """The pass of its sequence in which it began, and the newest one that worked on it."""
    last_pass: int = 0
    fault: Fault | None = None
    """Set if a number that the thought depends on is not finite."""

    @property
    def starts_with_anchor(self) -> bool:
        """Whether the start row shares the pass of the anchor."""
        return self.table is not None and not self.asks_gate

    @property
    def is_at_end(self) -> bool:
        """Whether the next step feeds the last thought token and the end vector."""
        return len(self.thought) == self.num_thought_tokens

    @property
    def num_next_rows(self) -> int:
        """Number of rows that a lane in flight has in the next step."""
        return 2 if self.is_at_end else 1


class Slots:
    """Allocates small numbers: slots of the lane buffers, or of running sequences."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots - 1, -1, -1))
        self._released: list[int] = []

    @property
    def num_in_use(self) -> int:
        return self.num_slots - len(self._free)

    def take(self) -> int:
        assert self._free, f"all {self.num_slots} slots are in use"
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        assert slot not in self._free, f"slot {slot} was given back twice"
        self._free.append(slot)
        self._released.append(slot)

    def take_released(self) -> list[int]:
        """The slots that were given back since the last call."""
        released, self._released = self._released, []
        return released

"""Sequences and lanes with known blocks, for tests that check every number."""

from dataclasses import dataclass, field

from qstar_infer.kv_cache.block_manager import BlockManager
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.wavefront.lane import Lane, num_lane_slots
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.wavefront import Wavefront

BLOCK_SIZE = 4
SEED = 99


@dataclass
class Pool:
    """Allocates blocks 0, 1, 2, ... and lane slots 0, 1, 2, ... in the order of the calls."""

    manager: BlockManager = field(default_factory=lambda: BlockManager(20, BLOCK_SIZE))
    num_lanes: int = 0

    def sequence(
        self,
        prompt: list[int],
        *,
        num_thought_tokens: int = 2,
        num_slots: int = 8,
        scores_prompt: bool = False,
        params: SamplingParams | None = None,
    ) -> Sequence:
        """A running sequence with room for `num_slots`."""
        seq = Sequence(
            request_id="r",
            index=0,
            params=SamplingParams(temperature=0.0) if params is None else params,
            seed=SEED,
            num_thought_tokens=num_thought_tokens,
            thought_temperature=0.5,
            num_prompt_tokens=len(prompt),
            max_tokens=8,
            wavefront=Wavefront(prompt),
            eos_token_ids=frozenset({7}),
            scoring=PromptScoring(len(prompt)) if scores_prompt else None,
        )
        seq.table = self.manager.open_table()
        self.manager.grow(seq.table, num_slots)
        return seq

    def lane(self, seq: Sequence, anchor: int, thought: list[int] | None = None) -> Lane:
        lane = Lane(anchor=anchor, num_thought_tokens=seq.num_thought_tokens)
        lane.thought = [] if thought is None else thought
        if seq.num_thought_tokens > 0:
            lane.table = self.manager.open_table(is_lane=True)
            self.manager.grow(lane.table, num_lane_slots(seq.num_thought_tokens))
            lane.buffer_slot = self.num_lanes
            self.num_lanes += 1
        return lane

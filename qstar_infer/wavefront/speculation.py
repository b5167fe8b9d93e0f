"""Decides how far drafts run ahead of the verified text."""

from qstar_infer.config import EngineConfig

ROWS_BESIDES_DRAFTS = 3
"""Rows of a thinking sequence in steady state that do not depend on the number of drafts: the
frontier, its start row, and the second row of a lane's last step."""


class SpeculationDepth:
    """Computes each sequence's draft depth, so that a step stays within a row budget.

    Depth 0 waits for each thought. The depth changes the speed, never the result.
    """

    def __init__(self, config: EngineConfig, speculation_rows: int) -> None:
        self._fixed = config.fixed_depth
        self._speculation_rows = speculation_rows

    def of(
        self, num_thought_tokens: int, *, num_decoding: int, thinks_everywhere: bool = True
    ) -> int:
        """Most unverified tokens that a sequence may feed; at most its thought length.

        Args:
            num_decoding: number of sequences that decode in this step.
            thinks_everywhere: whether each draft brings a thought, and so a row in every step.
        """
        depth = self._fixed
        if depth is None and not thinks_everywhere:
            return num_thought_tokens
        if depth is None:
            rows_per_sequence = self._speculation_rows // max(1, num_decoding)
            depth = max(0, rows_per_sequence - ROWS_BESIDES_DRAFTS)
        return min(depth, num_thought_tokens)

"""The interface of an attention backend: prepare a step once, then attend in every layer."""

from typing import Protocol

from qstar_infer.attention.interface import AttentionState
from qstar_infer.step import StepBatch


class StepAttentionState(AttentionState, Protocol):
    """The attention state of one step of the engine."""

    def broken_rows(self) -> list[int]:
        """Rows with a key or value that is NaN or infinite, ascending. Call it after the pass.

        Other rows, even of other sequences, must not be affected by them, except rows that attend
        to them: their numbers are finite or not, but meaningless.
        """
        ...


class AttentionBackend(Protocol):
    """Computes the attention of a step's rows over one pool of key/value blocks.

    An implementation owns no keys or values. It reads and writes the `KVPool` that its constructor
    gets.
    """

    def prepare(self, batch: StepBatch) -> StepAttentionState:
        """Compute once what all layers of a step share: indices, masks, plans.

        Returns:
            A state that computes attention for the batch's rows, in order, as one batch of size 1.
        """
        ...

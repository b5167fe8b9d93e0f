"""The interface of a runner: it computes steps."""

from typing import Protocol

from qstar_infer.step import StepBatch, StepResult


class Runner(Protocol):
    """Computes steps. Their results depend only on the model, earlier steps and the batch.

    A runner does not know about requests. Two runners of one kind and one model give the same
    results for the same batches.
    """

    def run(self, batch: StepBatch) -> StepResult:
        """Compute the rows and sample. Stores keys, values, and what lanes need later."""
        ...

    def release_unused_memory(self) -> None:
        """Release cached memory, for example after a pass ran out of memory."""
        ...

    def close(self) -> None:
        """Release everything. The runner must not be used any more."""
        ...

"""Runs a step on all ranks: they share the pass, and rank 0 samples."""

from qstar_infer.runner.tensor_parallel.messages import BuildPool, ReleaseMemory, pass_of
from qstar_infer.runner.tensor_parallel.ranks import Ranks
from qstar_infer.runner.torch_runner import TorchRunner
from qstar_infer.step import StepBatch, StepResult


class TensorParallelRunner:
    """A `Runner` that is rank 0."""

    def __init__(self, runner: TorchRunner, ranks: Ranks, *, num_blocks: int, block_size: int):
        """
        Args:
            runner: of the shard of rank 0.
            ranks: all ranks; closed with this runner.
            num_blocks, block_size: of the key/value pool, of which each rank has its own heads.
        """
        self._runner = runner
        self._ranks = ranks
        ranks.send(BuildPool(num_blocks=num_blocks, block_size=block_size))

    def run(self, batch: StepBatch) -> StepResult:
        """See `Runner.run`.

        Raises:
            EngineDeadError: some rank has not computed the pass. The others wait for it, so that no
                further pass is possible.
        """
        self._ranks.send(pass_of(batch))
        try:
            return self._runner.run(batch)
        except Exception as error:
            raise self._ranks.failure_after(error) from error

    def release_unused_memory(self) -> None:
        """Release cached GPU memory of all ranks."""
        self._ranks.send(ReleaseMemory())
        self._runner.release_unused_memory()

    def close(self) -> None:
        """End the other ranks."""
        self._ranks.close()

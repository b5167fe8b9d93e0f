"""Runs a step with torch: one forward pass over its rows, and samples from their logits."""

import torch
from torch import Tensor

from qstar_infer.errors import RequestFailedError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.decisions import Decisions
from qstar_infer.runner.forward_pass import ForwardPass
from qstar_infer.step import StepBatch, StepResult


class TorchRunner:
    """A `Runner` for every device. Owns the KV pool."""

    def __init__(
        self, model: QuietStarModel, *, num_blocks: int, block_size: int, num_lanes: int
    ) -> None:
        """
        Args:
            num_lanes: number of slots of the lane buffers.
        """
        self._pass = ForwardPass(model, num_blocks=num_blocks, block_size=block_size)
        self._embedding = model.backbone.get_input_embeddings()
        self._built_for = self._current_kind()
        self._decisions = Decisions(
            model.thought_parts,
            masked_ids=model.delimiter_ids,
            num_lanes=num_lanes,
            hidden_size=model.hidden_size,
            vocab_size=model.vocab_size,
            dtype=self._pass.dtype,
            device=self._pass.device,
        )

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> StepResult:
        """Compute the rows and sample. Writes to the KV pool and the lane buffers.

        Raises:
            RequestFailedError: the model was cast or moved.
        """
        self._check_unchanged()
        output = self._pass.run(batch)
        return self._decisions.decide(
            batch,
            hidden=output.hidden,
            logits_of=lambda span: self._pass.logits(output.hidden[span]),
            broken_rows=output.attention.broken_rows(),
        )

    def release_unused_memory(self) -> None:
        """Release cached GPU memory, for example after a pass ran out of memory."""
        self._pass.release_unused_memory()

    def close(self) -> None:
        """Nothing to do: tensors are released with the runner."""

    def _current_kind(self) -> tuple[torch.dtype, torch.device]:
        weight = self._embedding.weight
        assert isinstance(weight, Tensor)
        return weight.dtype, weight.device

    def _check_unchanged(self) -> None:
        kind = self._current_kind()
        if kind != self._built_for:
            before, now = (f"{dtype} on {device}" for dtype, device in (self._built_for, kind))
            raise RequestFailedError(
                f"the model was changed from {before} to {now} after its engine was created; "
                "create a new one: LLM(model=model)"
            )

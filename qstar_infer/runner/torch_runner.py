"""Runs a step with torch: one forward pass over its rows, and samples from their logits."""

import torch
from torch import Tensor

from qstar_infer.attention.choose import choose_attention
from qstar_infer.attention.interface import AttentionState
from qstar_infer.attention.padded_sdpa import without_cudnn_attention
from qstar_infer.decoder.build import build_decoder
from qstar_infer.errors import RequestFailedError
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner.decisions import Decisions
from qstar_infer.step import END, START, StepBatch, StepResult


class TorchRunner:
    """A `Runner` for every device. Owns the KV pool."""

    def __init__(
        self, model: QuietStarModel, *, num_blocks: int, block_size: int, num_lanes: int
    ) -> None:
        """
        Args:
            num_lanes: number of slots of the lane buffers.
        """
        self._model = model
        self._decoder = build_decoder(model)
        self._embedding = model.backbone.get_input_embeddings()
        self._built_for = self._current_kind()
        dtype, device = self._decoder.dtype, self._decoder.device
        pool = KVPool(model.layer_shapes, num_blocks * block_size, dtype=dtype, device=device)
        self._attention = choose_attention(pool)
        self._decisions = Decisions(
            model.thought_parts,
            masked_ids=model.delimiter_ids,
            num_lanes=num_lanes,
            hidden_size=model.hidden_size,
            vocab_size=model.vocab_size,
            dtype=dtype,
            device=device,
        )

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> StepResult:
        """Compute the rows and sample. Writes to the KV pool and the lane buffers.

        Raises:
            RequestFailedError: the model was cast or moved.
        """
        self._check_unchanged()
        attention = self._attention.prepare(batch)
        hidden = self._forward(batch, attention)[batch.pick_rows]
        return self._decisions.decide(
            batch,
            hidden=hidden,
            logits_of=lambda span: self._decoder.logits(hidden[span]),
            broken_rows=attention.broken_rows(),
        )

    def release_unused_memory(self) -> None:
        """Release cached GPU memory, for example after a pass ran out of memory."""
        if self._decoder.device.type == "cuda":
            torch.cuda.empty_cache()

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

    def _forward(self, batch: StepBatch, attention: AttentionState) -> Tensor:
        """Last-layer states, `[rows, hidden]`."""
        decoder, parts = self._decoder, self._model.thought_parts
        ids = torch.tensor(batch.token_ids, dtype=torch.int64, device=decoder.device)
        embeddings = decoder.embed(ids.clamp(min=0))
        start_rows = [row for row, token_id in enumerate(batch.token_ids) if token_id == START]
        end_rows = [row for row, token_id in enumerate(batch.token_ids) if token_id == END]
        if parts is not None and start_rows:
            embeddings[start_rows] = parts.start_thought.to(decoder.dtype)
        if parts is not None and end_rows:
            embeddings[end_rows] = parts.end_thought.to(decoder.dtype)
        positions = torch.tensor(batch.positions, dtype=torch.int64, device=decoder.device)
        with without_cudnn_attention():
            return decoder.hidden(embeddings, positions, attention)

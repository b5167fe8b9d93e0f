"""The forward pass of a step's rows with torch, up to the states that its picks need."""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.attention.backend import StepAttentionState
from qstar_infer.attention.choose import choose_attention
from qstar_infer.attention.interface import AttentionState
from qstar_infer.attention.padded_sdpa import without_cudnn_attention
from qstar_infer.decoder.build import build_decoder
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.step import END, START, StepBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutput:
    """What a pass leaves for its picks."""

    hidden: Tensor
    """`[picks, hidden]`, last-layer states of the rows in `StepBatch.pick_rows`."""
    attention: StepAttentionState


class ForwardPass:
    """Computes passes of one model, or of the shard that one rank holds. Owns the KV pool.

    Attributes:
        dtype, device: of states, keys and values.
    """

    def __init__(self, model: QuietStarModel, *, num_blocks: int, block_size: int) -> None:
        self._model = model
        self._decoder = build_decoder(model)
        self.dtype, self.device = self._decoder.dtype, self._decoder.device
        pool = KVPool(
            model.layer_shapes, num_blocks * block_size, dtype=self.dtype, device=self.device
        )
        self._attention = choose_attention(pool)

    def run(self, batch: StepBatch) -> PassOutput:
        """Compute the rows. Writes to the KV pool."""
        attention = self._attention.prepare(batch)
        hidden = self._hidden(batch, attention)[batch.pick_rows]
        return PassOutput(hidden=hidden, attention=attention)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[some, hidden]` to `[some, vocab]`, float32."""
        return self._decoder.logits(hidden)

    def release_unused_memory(self) -> None:
        """Release cached GPU memory, for example after a pass ran out of memory."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _hidden(self, batch: StepBatch, attention: AttentionState) -> Tensor:
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

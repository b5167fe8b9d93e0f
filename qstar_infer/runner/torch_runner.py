"""Runs a step with torch: one forward pass over its rows, and samples from their logits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.attention.choose import choose_attention
from qstar_infer.attention.interface import AttentionState
from qstar_infer.attention.padded_sdpa import without_cudnn_attention
from qstar_infer.decoder.build import build_decoder
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.kv_cache.lane_buffers import LaneBuffers
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import mix_logits
from qstar_infer.sampling.sampler import sample
from qstar_infer.step import END, START, SampledToken, StepBatch, StepResult, VisiblePick


class TorchRunner:
    """A `Runner` for every device. Owns the KV pool and the lane buffers."""

    def __init__(
        self, model: QuietStarModel, *, num_blocks: int, block_size: int, num_lanes: int
    ) -> None:
        """
        Args:
            num_lanes: number of slots of the lane buffers.
        """
        self._model = model
        self._decoder = build_decoder(model)
        dtype, device = self._decoder.dtype, self._decoder.device
        pool = KVPool(model.layer_shapes, num_blocks * block_size, dtype=dtype, device=device)
        self._attention = choose_attention(pool)
        self._lane_buffers = LaneBuffers(
            num_lanes if model.can_think else 0,
            hidden_size=model.hidden_size,
            vocab_size=model.vocab_size,
            dtype=dtype,
            device=device,
        )

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> StepResult:
        """Compute the rows and sample. Writes to the KV pool and the lane buffers."""
        base_rows = [pick.row for pick in batch.base_picks]
        thought_rows = [pick.row for pick in batch.thought_picks]
        target_rows = [pick.row for pick in batch.target_picks]
        attention = self._attention.prepare(batch)
        hidden = self._forward(batch, attention)
        hidden = hidden[base_rows + thought_rows + target_rows]
        logits = self._decoder.logits(hidden)
        is_finite: list[bool] = logits.sum(dim=-1).isfinite().tolist()
        self._mask_delimiters_(logits)

        thoughts_begin = len(base_rows)
        targets_begin = thoughts_begin + len(thought_rows)
        base_logits = logits[:thoughts_begin]
        self._store(batch.base_picks, hidden[:thoughts_begin], base_logits)
        mixed, mixed_from, weights = self._mix(
            batch.target_picks, hidden[targets_begin:], logits[targets_begin:]
        )
        tokens, thought_token_ids = sample(
            torch.cat([base_logits, mixed]) if target_rows else base_logits,
            batch.base_picks + batch.target_picks,
            base_logits=mixed_from,
            mixing_weights=weights,
            thought_logits=logits[thoughts_begin:targets_begin],
            thought_picks=batch.thought_picks,
        )
        self._ask_gate(batch.base_picks, tokens, hidden)
        result = StepResult(
            base_tokens=tokens[:thoughts_begin],
            thought_token_ids=thought_token_ids,
            target_tokens=tokens[thoughts_begin:],
            broken_rows=attention.broken_rows(),
        )
        _mark_faults(batch, result, is_finite)
        return result

    def release_unused_memory(self) -> None:
        """Release cached GPU memory, for example after a pass ran out of memory."""
        if self._decoder.device.type == "cuda":
            torch.cuda.empty_cache()

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

    def _store(self, picks: Sequence[VisiblePick], hidden: Tensor, logits: Tensor) -> None:
        """Store the anchors' states and logits until their lanes end."""
        rows = [row for row, pick in enumerate(picks) if pick.lane_slot is not None]
        slots = [pick.lane_slot for pick in picks if pick.lane_slot is not None]
        self._lane_buffers.store(slots, hidden[rows], logits[rows])

    def _ask_gate(
        self, picks: Sequence[VisiblePick], tokens: Sequence[SampledToken], hidden: Tensor
    ) -> None:
        """Note for each base pick that asks the gate whether the model thinks there."""
        asking = [number for number, pick in enumerate(picks) if pick.asks_gate]
        if not asking:
            return
        gate = self._model.thinking_parts.gate
        assert gate is not None, "a model without a gate was asked for it"
        for number, score in zip(asking, gate.score(hidden[asking]).tolist(), strict=True):
            tokens[number].thinks = score > 0
            tokens[number].fault = None if math.isfinite(score) else "gate"

    def _mix(
        self, picks: Sequence[VisiblePick], hidden_thought: Tensor, thought_logits: Tensor
    ) -> tuple[Tensor, Tensor, list[float]]:
        """Mixed logits, base logits (`[targets, vocab]`, float32) and mixing weights."""
        if not picks:
            return thought_logits, thought_logits, []
        slots = [pick.lane_slot for pick in picks if pick.lane_slot is not None]
        assert len(slots) == len(picks), "a lane ended without a slot"
        hidden_base, base_logits = self._lane_buffers.load(slots)
        weight = self._model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
        mixed = mix_logits(base_logits, thought_logits, weight)
        self._mask_delimiters_(mixed)
        return mixed, base_logits, weight.tolist()

    def _mask_delimiters_(self, logits: Tensor) -> None:
        if self._model.delimiter_ids:
            logits[:, list(self._model.delimiter_ids)] = float("-inf")


def _mark_faults(batch: StepBatch, result: StepResult, is_finite: list[bool]) -> None:
    """Mark the picks whose numbers are not finite. Those of the gate are marked already.

    Args:
        is_finite: whether the row of logits is: of the base picks, the thought picks, the target
            picks.
    """
    of_pick = iter(is_finite)
    for token in result.base_tokens:
        if not next(of_pick):
            token.fault = "model"
    broken = [pick.row for pick in batch.thought_picks if not next(of_pick)]
    if broken:
        result.broken_rows = sorted({*result.broken_rows, *broken})
    for token in result.target_tokens:
        numbers = (token.mixing_weight, token.logprob, token.base_logprob)
        if not next(of_pick):
            token.fault = "model"
        elif not all(map(math.isfinite, numbers)):
            token.fault = "talk_head"

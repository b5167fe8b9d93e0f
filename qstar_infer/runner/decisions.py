"""Turns the states and logits of a step's picks into its result, whoever computed them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.kv_cache.lane_buffers import LaneBuffers
from qstar_infer.model.thinking import mix_logits
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.sampling.sampler import sample
from qstar_infer.step import SampledToken, StepBatch, StepResult, VisiblePick


class Decisions:
    """Samples, mixes and asks the gate. Owns the lane buffers."""

    def __init__(
        self,
        parts: ThoughtParts | None,
        *,
        masked_ids: Sequence[int],
        num_lanes: int,
        hidden_size: int,
        vocab_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """
        Args:
            parts: None for a model that cannot think.
            masked_ids: never sampled.
            num_lanes: number of slots of the lane buffers.
            hidden_size: of the states.
            vocab_size: of the logits.
            dtype, device: of the states.
        """
        self._parts = parts
        self._masked_ids = list(masked_ids)
        self._lane_buffers = LaneBuffers(
            0 if parts is None else num_lanes,
            hidden_size=hidden_size,
            vocab_size=vocab_size,
            dtype=dtype,
            device=device,
        )

    def decide(
        self, batch: StepBatch, *, hidden: Tensor, logits: Tensor, broken_rows: list[int]
    ) -> StepResult:
        """The result of a step.

        Args:
            batch: the step.
            hidden: `[picks, hidden]`, of the rows of the base picks, the thought picks and the
                target picks. May be empty, `[0, hidden]`, if no lane begins or ends and no gate is
                asked.
            logits: `[picks, vocab]`, float32, of the same rows. Written in place.
            broken_rows: rows whose keys or values are not finite.
        """
        thoughts_begin = len(batch.base_picks)
        targets_begin = thoughts_begin + len(batch.thought_picks)
        is_finite: list[bool] = logits.sum(dim=-1).isfinite().tolist()
        self._mask_(logits)
        base_logits = logits[:thoughts_begin]
        self._store(batch.base_picks, hidden, base_logits)
        mixed, mixed_from, weights = self._mix(
            batch.target_picks, hidden[targets_begin:], logits[targets_begin:]
        )
        tokens, thought_token_ids = sample(
            torch.cat([base_logits, mixed]) if batch.target_picks else base_logits,
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
            broken_rows=broken_rows,
        )
        _mark_faults(batch, result, is_finite)
        return result

    @property
    def _thinking_parts(self) -> ThoughtParts:
        assert self._parts is not None, "a model that cannot think was asked to"
        return self._parts

    def _store(self, picks: Sequence[VisiblePick], hidden: Tensor, logits: Tensor) -> None:
        """Store the anchors' states and logits until their lanes end."""
        rows = [row for row, pick in enumerate(picks) if pick.lane_slot is not None]
        slots = [pick.lane_slot for pick in picks if pick.lane_slot is not None]
        if slots:
            self._lane_buffers.store(slots, hidden[rows], logits[rows])

    def _ask_gate(
        self, picks: Sequence[VisiblePick], tokens: Sequence[SampledToken], hidden: Tensor
    ) -> None:
        """Note for each base pick that asks the gate whether the model thinks there."""
        asking = [number for number, pick in enumerate(picks) if pick.asks_gate]
        if not asking:
            return
        gate = self._thinking_parts.gate
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
        weight = self._thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
        mixed = mix_logits(base_logits, thought_logits, weight)
        self._mask_(mixed)
        return mixed, base_logits, weight.tolist()

    def _mask_(self, logits: Tensor) -> None:
        if self._masked_ids:
            logits[:, self._masked_ids] = float("-inf")


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

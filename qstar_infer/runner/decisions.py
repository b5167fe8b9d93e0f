"""Turns the states and logits of a step's picks into its result, whoever computed them."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kv_cache.lane_buffers import LaneBuffers
from qstar_infer.model.thought_parts import ThinkingGate, ThoughtParts
from qstar_infer.runner.pick_slices import PickSlice, pick_slices
from qstar_infer.sampling.logit_rows import BaseRows, check_and_mask_, mix_
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
        if parts is not None and device.type == "cpu":
            _pack(parts)
        self._parts = parts
        self._masked_ids = torch.tensor(masked_ids, dtype=torch.int32, device=device)
        self._vocab_size = vocab_size
        self._lane_buffers = LaneBuffers(
            0 if parts is None else num_lanes,
            hidden_size=hidden_size,
            vocab_size=vocab_size,
            dtype=dtype,
            device=device,
        )

    def decide(
        self,
        batch: StepBatch,
        *,
        hidden: Tensor,
        logits_of: Callable[[slice], Tensor],
        broken_rows: Sequence[int],
    ) -> StepResult:
        """The result of a step.

        Args:
            batch: the step.
            hidden: `[picks, hidden]`, of the rows of the base picks, the target picks and the
                thought picks. May be empty, `[0, hidden]`, if no lane begins or ends and no gate is
                asked.
            logits_of: the logits of some adjacent ones of these rows, `[some, vocab]`, float32.
                Called for one slice after the other, to bound memory; written in place.
            broken_rows: rows whose keys or values are not finite.
        """
        result = StepResult(base_tokens=[], thought_token_ids=[], target_tokens=[])
        broken = set(broken_rows)
        for picks in pick_slices(batch, vocab_size=self._vocab_size):
            broken |= self._decide_slice(
                picks, hidden[picks.span], logits_of(picks.span), result=result
            )
        result.broken_rows = sorted(broken)
        return result

    def _decide_slice(
        self, picks: PickSlice, hidden: Tensor, logits: Tensor, *, result: StepResult
    ) -> set[int]:
        """Append the tokens of some picks to a result.

        Returns:
            The rows whose thought logits are not finite.
        """
        targets = slice(len(picks.base), len(picks.base) + len(picks.targets))
        is_finite = check_and_mask_(logits, self._masked_ids)
        self._store(picks.base, hidden, logits)
        base, weights = self._mix_(picks.targets, hidden, logits, targets)
        tokens, thought_token_ids = sample(
            logits[: targets.stop],
            [*picks.base, *picks.targets],
            base=base,
            mixing_weights=weights,
            thought_logits=logits[targets.stop :],
            thought_picks=picks.thoughts,
        )
        self._ask_gate(picks.base, tokens, hidden)
        base_tokens, target_tokens = tokens[: targets.start], tokens[targets]
        _mark_base(base_tokens, is_finite[: targets.start])
        _mark_targets(target_tokens, is_finite[targets])
        result.base_tokens += base_tokens
        result.target_tokens += target_tokens
        result.thought_token_ids += thought_token_ids
        are_finite = is_finite[targets.stop :]
        return {
            pick.row for pick, is_ok in zip(picks.thoughts, are_finite, strict=True) if not is_ok
        }

    @property
    def _thinking_parts(self) -> ThoughtParts:
        assert self._parts is not None, "a model that cannot think was asked to"
        return self._parts

    def _store(self, picks: Sequence[VisiblePick], hidden: Tensor, logits: Tensor) -> None:
        """Store the anchors' states and logits until their lanes end."""
        rows = [row for row, pick in enumerate(picks) if pick.lane_slot is not None]
        slots = [pick.lane_slot for pick in picks if pick.lane_slot is not None]
        self._lane_buffers.store(slots, rows, hidden=hidden, logits=logits)

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
            if not math.isfinite(score):
                tokens[number].fault = "gate"

    def _mix_(
        self, picks: Sequence[VisiblePick], hidden: Tensor, logits: Tensor, rows: slice
    ) -> tuple[BaseRows, list[float]]:
        """Mix the thought logits in these rows with the base logits, in place.

        Returns:
            The base logits, and the mixing weights.
        """
        slots = [pick.lane_slot for pick in picks if pick.lane_slot is not None]
        assert len(slots) == len(picks), "a lane ended without a slot"
        base = BaseRows(self._lane_buffers.logits, slots)
        if not picks:
            return base, []
        weights = self._thinking_parts.talk_head.mixing_weight(
            self._lane_buffers.hidden[slots], hidden[rows]
        )
        mix_(logits[rows], base, weights, self._masked_ids)
        return base, weights.tolist()


def _pack(parts: ThoughtParts) -> None:
    """Let the thought parts multiply by packed weights, so that other rows do not change a row."""
    kernel = OneDnnKernel(torch.float32)
    if kernel.is_available():
        pack_layers(parts, kernel, kinds=(nn.Linear, ThinkingGate))


def _mark_base(tokens: Sequence[SampledToken], is_finite: Sequence[bool]) -> None:
    """Mark the base tokens whose logits are not finite. The fault of a gate is noted already."""
    for token, is_ok in zip(tokens, is_finite, strict=True):
        if not is_ok:
            token.fault = "model"


def _mark_targets(tokens: Sequence[SampledToken], is_finite: Sequence[bool]) -> None:
    """Mark the target tokens whose thought logits, or numbers made from them, are not finite."""
    for token, is_ok in zip(tokens, is_finite, strict=True):
        numbers = (token.mixing_weight, token.logprob, token.base_logprob)
        if not is_ok:
            token.fault = "model"
        elif token.fault is None and not all(map(math.isfinite, numbers)):
            token.fault = "talk_head"

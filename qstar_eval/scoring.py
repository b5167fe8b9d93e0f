"""Losses and logits with thoughts, without gradients, computed by the model's definition."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qstar_eval.config import ThoughtKind
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import Rollout, mix_states, roll_out
from qstar_train.objective.chunked_logits import pick_thought_ids, token_losses
from qstar_train.sampling import ordinary_ids, random_thoughts, sampled_thoughts


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingMode:
    """How a checkpoint thinks while it is measured."""

    num_thought_tokens: int
    """0: no thoughts; mixed figures then equal base figures."""
    kind: ThoughtKind = "sampled"
    temperature: float = 1.0
    """Of sampled and shuffled thoughts; 0 is greedy."""

    @property
    def name(self) -> str:
        """`0`, `5-sampled` or `5-random`: unique among the modes of one run; a file name."""
        return f"{self.num_thought_tokens}-{self.kind}" if self.num_thought_tokens else "0"

    @property
    def thought_temperature(self) -> float:
        """The temperature that thoughts are sampled at: 0 for greedy ones."""
        return 0.0 if self.kind == "greedy" else self.temperature

    @property
    def kind_name(self) -> str:
        """The kind of thoughts, or `none`, as in reports."""
        return self.kind if self.num_thought_tokens else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScores:
    """Column p is about the prediction of token p + 1. On the CPU, float32, 0 at padding."""

    base_losses: Tensor
    """`[batch, seq - 1]`, nats."""
    mixed_losses: Tensor
    """`[batch, seq - 1]`, nats."""
    mixing_weights: Tensor
    """`[batch, seq - 1]`."""
    thought_ids: Tensor
    """`[batch, seq - 1, num_thought_tokens]`, int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorScores:
    """Next-token logits at chosen anchors. On the CPU, float32, delimiters at minus infinity."""

    base_logits: Tensor
    """`[batch, anchors, vocab]`."""
    logits: Tensor
    """`[batch, anchors, vocab]`, mixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStates:
    """Last-layer states at chosen anchors, on the model's device."""

    hidden_base: Tensor
    """`[batch, anchors, hidden]`, in the model's dtype."""
    hidden_mixed: Tensor
    """`[batch, anchors, hidden]`; its logits are the mixed logits."""
    mixing_weights: Tensor
    """`[batch, anchors]`, float32."""
    thought_ids: Tensor
    """`[batch, anchors, num_thought_tokens]`, int64."""


@torch.no_grad()
def score_text(
    model: QuietStarModel, rows: Sequence[list[int]], *, seeds: Tensor, mode: ThinkingMode
) -> TextScores:
    """Compute the loss of every token but the first, with and without thoughts.

    Args:
        rows: token ids of each text; the longest has at least 2.
        seeds: `[batch]`, int64. A row's noise depends on its seed alone, not on the other rows.

    Raises:
        RequestError: the model cannot score these rows, or cannot think as `mode` says.
    """
    ids, is_real = _batch(model, rows, mode)
    # The token after the last one is unknown, so the last one gets no thought.
    anchors = torch.arange(ids.shape[1] - 1, device=ids.device).expand(ids.shape[0], -1)
    rollout = _roll_out(model, ids, is_real=is_real, anchors=anchors, seeds=seeds, mode=mode)
    target = (ids[:, 1:], is_real[:, 1:])
    base_losses = token_losses(model, rollout.hidden_base, *target)
    mixed_losses, weights = base_losses, torch.zeros_like(base_losses)
    if rollout.hidden_thought is not None:
        mixed, weights = mix_states(model, rollout.hidden_base, rollout.hidden_thought)
        mixed_losses = token_losses(model, mixed, *target)
    return TextScores(
        base_losses=base_losses.cpu(),
        mixed_losses=mixed_losses.cpu(),
        mixing_weights=(weights * is_real[:, 1:]).cpu(),
        thought_ids=(rollout.thought_ids * is_real[:, 1:, None]).cpu(),
    )


@torch.no_grad()
def score_anchors(
    model: QuietStarModel,
    rows: Sequence[list[int]],
    *,
    anchors: Tensor,
    seeds: Tensor,
    mode: ThinkingMode,
) -> AnchorScores:
    """Compute next-token logits at a few anchors of each row. Thinks only there.

    Args:
        rows, seeds: as for `score_text`.
        anchors: `[batch, anchors]`, int64, indices of real tokens.

    Raises:
        RequestError: as for `score_text`.
    """
    states = states_at(model, rows, anchors=anchors, seeds=seeds, mode=mode)
    base_logits = model.mask_delimiters(model.logits(states.hidden_base))
    logits = base_logits
    if mode.num_thought_tokens:
        logits = model.mask_delimiters(model.logits(states.hidden_mixed))
    return AnchorScores(base_logits=base_logits.cpu(), logits=logits.cpu())


@torch.no_grad()
def states_at(
    model: QuietStarModel,
    rows: Sequence[list[int]],
    *,
    anchors: Tensor,
    seeds: Tensor,
    mode: ThinkingMode,
    thought_ids: Tensor | None = None,
) -> AnchorStates:
    """Think at a few anchors of each row, and mix.

    Args:
        rows, seeds: as for `score_text`.
        anchors: `[batch, anchors]`, int64, indices of real tokens.
        thought_ids: `[batch, anchors, num_thought_tokens]`, int64: thoughts to take instead of the
            model's own. None: its own.

    Raises:
        RequestError: as for `score_text`.
    """
    ids, is_real = _batch(model, rows, mode)
    anchors = anchors.to(model.device)
    rollout = _roll_out(
        model,
        ids,
        is_real=is_real,
        anchors=anchors,
        seeds=seeds,
        mode=mode,
        thought_ids=thought_ids,
    )
    mixed = rollout.hidden_base
    weights = torch.zeros(anchors.shape, device=model.device)
    if rollout.hidden_thought is not None:
        mixed, weights = mix_states(model, rollout.hidden_base, rollout.hidden_thought)
    return AnchorStates(
        hidden_base=rollout.hidden_base,
        hidden_mixed=mixed,
        mixing_weights=weights,
        thought_ids=rollout.thought_ids,
    )


def _batch(
    model: QuietStarModel, rows: Sequence[list[int]], mode: ThinkingMode
) -> tuple[Tensor, Tensor]:
    """Ids (int64) and mask (bool), `[batch, seq]`, padded on the right, on the model's device."""
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.int64) for row in rows], batch_first=True)
    is_real = model.check_batch(ids, mask, mode.num_thought_tokens)
    return ids.to(model.device), is_real.to(model.device)


def _roll_out(
    model: QuietStarModel,
    ids: Tensor,
    *,
    is_real: Tensor,
    anchors: Tensor,
    seeds: Tensor,
    mode: ThinkingMode,
    thought_ids: Tensor | None = None,
) -> Rollout:
    """Think the given thoughts, or else the model's own; the own thoughts of the mode `shuffled`
    are sampled ones."""
    seeds = seeds.to(model.device)
    given = None if thought_ids is None else thought_ids.to(model.device)
    pick = (
        random_thoughts(seeds, ordinary_ids(model))
        if mode.kind == "random"
        else sampled_thoughts(seeds, temperature=mode.thought_temperature)
    )

    def choose(hidden: Tensor, stream_index: int) -> Tensor:
        if given is not None:
            return given[..., stream_index - 1]
        return pick_thought_ids(model, hidden, anchors, pick, stream_index)

    return roll_out(
        model,
        ids,
        attention_mask=is_real,
        num_thought_tokens=mode.num_thought_tokens,
        choose=choose,
        anchors=anchors,
    )

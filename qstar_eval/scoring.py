"""Losses and logits with thoughts, without gradients, computed by the model's definition."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from qstar_eval.config import ThoughtKind
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import mix_states, roll_out, thinks_at
from qstar_infer.thinking_rule import ThinkingRule
from qstar_train.objective.chunked_logits import LOGITS_AT_ONCE, pick_thought_ids, token_losses
from qstar_train.sampling import ordinary_ids, random_thoughts, sampled_thoughts


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingMode:
    """How a checkpoint thinks while it is measured."""

    num_thought_tokens: int
    """0: no thoughts; mixed figures then equal base figures."""
    kind: ThoughtKind = "sampled"
    temperature: float = 1.0
    """Of sampled and shuffled thoughts; 0 is greedy."""
    thinking: ThinkingRule | None = None
    """At which tokens. None: as the checkpoint's rule says. Elsewhere the base decides."""

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
    is_thinking: Tensor
    """`[batch, seq - 1]`, bool. Whether the model thinks at token p."""
    is_base_right: Tensor
    """`[batch, seq - 1]`, bool. Whether the most likely token is the true one, at the tokens that
    were asked for; False at all others."""
    is_mixed_right: Tensor
    """`[batch, seq - 1]`, bool, likewise."""


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
    """`[batch, anchors, hidden]`; its logits are the mixed logits. The base where the model does
    not think."""
    mixing_weights: Tensor
    """`[batch, anchors]`, float32; 0 where the model does not think."""
    thought_ids: Tensor
    """`[batch, anchors, num_thought_tokens]`, int64. Meaningless where the model does not think."""
    is_thinking: Tensor
    """`[batch, anchors]`, bool."""


@torch.no_grad()
def score_text(
    model: QuietStarModel,
    rows: Sequence[list[int]],
    *,
    seeds: Tensor,
    mode: ThinkingMode,
    thought_ids: Tensor | None = None,
    behind_ids: Collection[int] = (),
) -> TextScores:
    """Compute the loss of every token but the first, with and without thoughts.

    Args:
        rows: token ids of each text; the longest has at least 2.
        seeds: `[batch]`, int64. A row's noise depends on its seed alone, not on the other rows.
        thought_ids: `[batch, seq - 1, num_thought_tokens]`, int64: thoughts to take instead of the
            model's own. None: its own.
        behind_ids: at which tokens to compute whether the most likely next token is the true one.

    Raises:
        RequestError: the model cannot score these rows, or cannot think as `mode` says.
    """
    ids, is_real = _batch(model, rows, mode)
    # The token after the last one is unknown, so the last one gets no thought.
    anchors = torch.arange(ids.shape[1] - 1, device=ids.device).expand(ids.shape[0], -1)
    states = _think(
        model,
        ids,
        is_real=is_real,
        anchors=anchors,
        seeds=seeds,
        mode=mode,
        thought_ids=thought_ids,
    )
    labels, is_real = ids[:, 1:], is_real[:, 1:]
    marks = torch.tensor(sorted(behind_ids), device=ids.device, dtype=ids.dtype)
    is_asked = torch.isin(ids[:, :-1], marks) & is_real

    def read(hidden: Tensor) -> tuple[Tensor, Tensor]:
        losses = token_losses(model, hidden, labels, is_real).cpu()
        return losses, _are_right(model, hidden, labels, is_asked).cpu()

    base_losses, is_base_right = read(states.hidden_base)
    mixed_losses, is_mixed_right = base_losses, is_base_right
    if mode.num_thought_tokens:
        mixed_losses, is_mixed_right = read(states.hidden_mixed)
    return TextScores(
        base_losses=base_losses,
        mixed_losses=mixed_losses,
        mixing_weights=(states.mixing_weights * is_real).cpu(),
        thought_ids=(states.thought_ids * is_real[:, :, None]).cpu(),
        is_thinking=(states.is_thinking & is_real).cpu(),
        is_base_right=is_base_right,
        is_mixed_right=is_mixed_right,
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
    return _think(
        model,
        ids,
        is_real=is_real,
        anchors=anchors.to(model.device),
        seeds=seeds,
        mode=mode,
        thought_ids=thought_ids,
    )


def _batch(
    model: QuietStarModel, rows: Sequence[list[int]], mode: ThinkingMode
) -> tuple[Tensor, Tensor]:
    """Ids (int64) and mask (bool), `[batch, seq]`, padded on the right, on the model's device."""
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.int64) for row in rows], batch_first=True)
    is_real = model.check_batch(ids, mask, mode.num_thought_tokens)
    return ids.to(model.device), is_real.to(model.device)


def _think(
    model: QuietStarModel,
    ids: Tensor,
    *,
    is_real: Tensor,
    anchors: Tensor,
    seeds: Tensor,
    mode: ThinkingMode,
    thought_ids: Tensor | None,
) -> AnchorStates:
    """Think the given thoughts, or else the model's own, and mix.

    The own thoughts of the kind `shuffled` are sampled ones. Thoughts are computed at all anchors,
    and dropped where the rule does not think.
    """
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

    rollout = roll_out(
        model,
        ids,
        attention_mask=is_real,
        num_thought_tokens=mode.num_thought_tokens,
        choose=choose,
        anchors=anchors,
    )
    mixed = rollout.hidden_base
    weights = torch.zeros(anchors.shape, device=model.device)
    is_thinking = torch.zeros_like(anchors, dtype=torch.bool)
    if rollout.hidden_thought is not None:
        places = model.resolve_thinking(mode.thinking)
        is_thinking = thinks_at(model, places, ids.gather(1, anchors), rollout.hidden_base)
        own, weights = mix_states(model, rollout.hidden_base, rollout.hidden_thought)
        mixed = torch.where(is_thinking.unsqueeze(-1), own, rollout.hidden_base)
        weights = weights.where(is_thinking, 0.0)
    return AnchorStates(
        hidden_base=rollout.hidden_base,
        hidden_mixed=mixed,
        mixing_weights=weights,
        thought_ids=rollout.thought_ids,
        is_thinking=is_thinking,
    )


def _are_right(model: QuietStarModel, hidden: Tensor, labels: Tensor, is_asked: Tensor) -> Tensor:
    """Whether the most likely token is the label, where that is asked: `[batch, seq]`, bool.

    Args:
        hidden: `[batch, seq, hidden]`.
        labels: `[batch, seq]`, int64.
        is_asked: `[batch, seq]`, bool; the result is False elsewhere.
    """
    step = max(1, LOGITS_AT_ONCE // model.vocab_size)
    likely = [
        model.mask_delimiters(model.logits(states)).argmax(-1)
        for states in torch.split(hidden[is_asked], step)
    ]
    found = torch.zeros_like(is_asked)
    found[is_asked] = torch.cat(likely) == labels[is_asked]
    return found

"""Which token follows an anchor: the visible choice and the thought's next token."""

import math
from collections.abc import Sequence as Items
from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.engine.sequence import Choice, Lane, Sequence
from qstar_infer.sampling.noise import VISIBLE_ROLE, pick_tokens, row_keys
from qstar_infer.sampling.visible import VisibleContext, needs_history, shape_logits


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceWanted:
    """One row of visible logits to choose from."""

    seq: Sequence
    anchor: int
    may_decide: bool
    """The choice may be final, so its log-probabilities are needed; else it is only a draft."""

    @property
    def num_top_logprobs(self) -> int:
        params = self.seq.params
        is_scored = self.seq.known_next(self.anchor) is not None
        count = params.prompt_logprobs if is_scored else params.logprobs
        return 0 if count is None else count


def choose(
    logits: Tensor,
    *,
    base_logits: Tensor,
    mixing_weights: list[float],
    wanted: Items[ChoiceWanted],
) -> list[Choice]:
    """Choose a token for each row; where the next token is known, score that one.

    Args:
        logits: `[rows, vocab]`, float32, delimiters at minus infinity: rows of base logits, then
            rows of mixed logits.
        base_logits: `[mixed rows, vocab]`, float32: what the mixed rows were mixed from.
        mixing_weights: one for each mixed row.
        wanted: one for each row.
    """
    if not wanted:
        return []
    token_ids = _pick_visible(logits, wanted)
    num_base = len(wanted) - len(mixing_weights)
    deciding = [row for row, want in enumerate(wanted) if want.may_decide]
    scores = _score(logits, token_ids, deciding, wanted)
    base_logprobs = _logprobs(base_logits, token_ids[num_base:]) if mixing_weights else []

    choices = []
    for row, want in enumerate(wanted):
        if not want.may_decide:
            choices.append(Choice.draft(token_ids[row]))
            continue
        logprob, top_logprobs = scores[row]
        is_mixed = row >= num_base
        choices.append(
            Choice(
                token_id=token_ids[row],
                logprob=logprob,
                base_logprob=base_logprobs[row - num_base] if is_mixed else logprob,
                mixing_weight=mixing_weights[row - num_base] if is_mixed else 0.0,
                top_logprobs=top_logprobs[: want.num_top_logprobs],
                top_logprob=top_logprobs[0][1],
            )
        )
    return choices


def pick_thoughts(logits: Tensor, lanes: Items[tuple[Sequence, Lane]]) -> list[int]:
    """The next token of each thought: its own distribution, nothing but a temperature.

    Args:
        logits: `[lanes, vocab]`, float32, delimiters at minus infinity.
    """
    if not lanes:
        return []
    return _pick(
        logits,
        temperatures=[seq.params.resolved_thought_temperature for seq, _ in lanes],
        seeds=[seq.seed for seq, _ in lanes],
        positions=[lane.anchor + 1 for _, lane in lanes],
        roles=[len(lane.thought) + 1 for _, lane in lanes],
    )


def _pick_visible(logits: Tensor, wanted: Items[ChoiceWanted]) -> list[int]:
    shaped = shape_logits(logits, [_context(want) for want in wanted])
    picked = _pick(
        shaped,
        temperatures=[want.seq.params.temperature for want in wanted],
        seeds=[want.seq.seed for want in wanted],
        positions=[want.anchor + 1 for want in wanted],
        roles=[VISIBLE_ROLE] * len(wanted),
    )
    known = [want.seq.known_next(want.anchor) for want in wanted]
    return [token if given is None else given for token, given in zip(picked, known, strict=True)]


def _context(want: ChoiceWanted) -> VisibleContext:
    seq = want.seq
    history = seq.token_ids[: want.anchor + 1] if needs_history(seq.params) else ()
    return VisibleContext(
        params=seq.params,
        history=history,
        num_prompt_tokens=seq.num_prompt_tokens,
        num_output_tokens=want.anchor + 1 - seq.num_prompt_tokens,
        end_token_ids=seq.end_token_ids,
    )


def _pick(
    logits: Tensor,
    *,
    temperatures: list[float],
    seeds: list[int],
    positions: list[int],
    roles: list[int],
) -> list[int]:
    """One token for each row of `[rows, vocab]`."""
    device = logits.device

    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    if not any(temperatures):
        greedy: list[int] = logits.argmax(dim=-1).tolist()
        return greedy
    keys = row_keys(column(seeds), column(positions), column(roles))
    heat = torch.tensor(temperatures, dtype=torch.float32, device=device)
    sampled: list[int] = pick_tokens(logits, heat, keys).tolist()
    return sampled


def _score(
    logits: Tensor, token_ids: list[int], rows: list[int], wanted: Items[ChoiceWanted]
) -> dict[int, tuple[float, tuple[tuple[int, float], ...]]]:
    """For each of these rows: the chosen token's log-probability, and the likeliest tokens'."""
    if not rows:
        return {}
    selected = logits if len(rows) == logits.shape[0] else logits[rows]
    total = selected.logsumexp(dim=-1, keepdim=True)
    count = min(max(1, *(wanted[row].num_top_logprobs for row in rows)), logits.shape[-1])
    best = selected.topk(count, dim=-1)
    best_ids, best_logprobs = best.indices.tolist(), (best.values - total).tolist()
    chosen = selected.gather(1, _column_of(token_ids, rows, logits)) - total
    return {
        row: (logprob, tuple(zip(best_ids[i], best_logprobs[i], strict=True)))
        for i, (row, logprob) in enumerate(zip(rows, chosen.squeeze(1).tolist(), strict=True))
    }


def _logprobs(logits: Tensor, token_ids: list[int]) -> list[float]:
    """ln p of one token for each row."""
    chosen = logits.gather(1, _column_of(token_ids, range(len(token_ids)), logits)).squeeze(1)
    values: list[float] = (chosen - logits.logsumexp(dim=-1)).tolist()
    return values


def _column_of(token_ids: list[int], rows: Items[int], like: Tensor) -> Tensor:
    return torch.tensor([[token_ids[row]] for row in rows], dtype=torch.int64, device=like.device)


def is_confident(choice: Choice, threshold: float | None) -> bool:
    """`think_threshold`: the base distribution's top probability is at least this."""
    return threshold is not None and math.exp(choice.top_logprob) >= threshold

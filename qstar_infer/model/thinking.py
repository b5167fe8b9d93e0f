"""The oracle: tokenwise parallel thinking (paper, section 4.1), one thought at every position.

Short and obviously right. Training, tests and whoever studies a text use it; the engine must give
its numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qstar_infer.attention.parallel import ParallelThoughts
from qstar_infer.errors import RequestError
from qstar_infer.sampling.noise import pick_tokens, row_keys

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtTrace:
    """What the model thought at every position. Rows of padding hold meaningless numbers."""

    base_logits: Tensor
    """`[batch, seq, vocab]`, float32. Next-token logits without a thought, nothing masked."""
    thought_ids: Tensor
    """`[batch, seq, num_thought_tokens]`, int64. The sampled tokens, without the delimiters."""
    mixing_weight: Tensor
    """`[batch, seq]`, float32. The share of the thought."""
    logits: Tensor
    """`[batch, seq, vocab]`, float32. Mixed logits; the delimiters are at minus infinity."""


def mix_logits(base_logits: Tensor, thought_logits: Tensor, mixing_weight: Tensor) -> Tensor:
    """`(1 - w) base + w thought` (paper, section 4.3); exactly base where w is 0.

    Args:
        base_logits, thought_logits: `[..., vocab]`, float32.
        mixing_weight: `[...]`, float32.

    Returns:
        `[..., vocab]`, float32.
    """
    share = mixing_weight.unsqueeze(-1)
    return (1 - share) * base_logits + share * thought_logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A thought at many positions of a batch, with what training needs of it. Differentiable."""

    attention: ParallelThoughts
    """Remembers keys and values, so that more tokens can be fed behind each thought."""
    hidden_base: Tensor
    """`[batch, anchors, hidden]`. State at each anchor."""
    thought_ids: Tensor
    """`[batch, anchors, num_thought_tokens]`, int64."""
    hidden_thought: Tensor | None
    """`[batch, anchors, hidden]`. State at the end vector; None for thoughts of length 0."""


Choose = Callable[[Tensor, int], Tensor]
"""Picks thought token `role` (from 1) of every anchor: states `[batch, anchors, hidden]` to ids
`[batch, anchors]`, never a delimiter."""


def roll_out(
    model: "QuietStarModel",
    input_ids: Tensor,
    *,
    attention_mask: Tensor,
    num_thought_tokens: int,
    choose: Choose,
    anchors: Tensor | None = None,
) -> Rollout:
    """Think at many positions of a checked batch.

    Args:
        input_ids: `[batch, seq]`, int64, right padded.
        attention_mask: `[batch, seq]`, bool, False at padding.
        num_thought_tokens: n sampled tokens for each thought; 0 for none.
        anchors: `[batch, anchors]`, int64: where to think. None: everywhere, anchors = seq.
    """
    attention = ParallelThoughts(attention_mask, anchors)
    hidden_base = model.hidden(model.embed(input_ids), attention.everywhere, attention.next_pass())
    if anchors is not None:
        hidden_base = hidden_base.gather(1, anchors.unsqueeze(-1).expand(-1, -1, model.hidden_size))
    shape = attention.anchors.shape
    thought_ids: list[Tensor] = []
    hidden_thought = None
    if num_thought_tokens > 0:
        parts = model.thinking_parts
        fed = model.as_embedding(parts.start_thought).expand(*shape, -1)
        for role in range(1, num_thought_tokens + 1):
            hidden = model.hidden(fed, attention.anchors + role, attention.next_pass())
            thought_ids.append(choose(hidden, role))
            fed = model.embed(thought_ids[-1])
        # c_n has been picked but not fed; the end vector follows it in the same pass.
        end = model.as_embedding(parts.end_thought).expand(*shape, -1)
        last = attention.anchors + num_thought_tokens
        hidden = model.hidden(
            torch.cat([fed, end], dim=1),
            torch.cat([last + 1, last + 2], dim=1),
            attention.next_pass(num_tokens=2),
        )
        hidden_thought = hidden[:, shape[1] :]
    return Rollout(
        attention=attention,
        hidden_base=hidden_base,
        thought_ids=torch.stack(thought_ids, -1) if thought_ids else input_ids.new_empty(*shape, 0),
        hidden_thought=hidden_thought,
    )


def think_everywhere(
    model: "QuietStarModel",
    input_ids: Tensor,
    *,
    attention_mask: Tensor,
    num_thought_tokens: int,
    temperature: float,
    seed: int,
) -> ThoughtTrace:
    """Think at every position of a checked batch, and mix.

    Args:
        input_ids, attention_mask, num_thought_tokens: as for `roll_out`.
        temperature: of the thought's tokens; 0 takes the most likely.
        seed: of the sampling noise, the same for each row of the batch.
    """

    def choose(hidden: Tensor, role: int) -> Tensor:
        logits = model.mask_delimiters(model.logits(hidden))
        return _pick(logits, temperature, seed, role)

    rollout = roll_out(
        model,
        input_ids,
        attention_mask=attention_mask,
        num_thought_tokens=num_thought_tokens,
        choose=choose,
    )
    base_logits = model.logits(rollout.hidden_base)
    mixed = base_logits
    mixing_weight = mixed.new_zeros(input_ids.shape)
    if rollout.hidden_thought is not None:
        mixed, mixing_weight = mix(model, rollout.hidden_base, base_logits, rollout.hidden_thought)
    return ThoughtTrace(
        base_logits=base_logits,
        thought_ids=rollout.thought_ids,
        mixing_weight=mixing_weight,
        logits=model.mask_delimiters(mixed),
    )


def mix(
    model: "QuietStarModel", hidden_base: Tensor, base_logits: Tensor, hidden_thought: Tensor
) -> tuple[Tensor, Tensor]:
    """Mixed logits `[..., vocab]` and mixing weight `[...]`, both float32."""
    weight = model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
    return mix_logits(base_logits, model.logits(hidden_thought), weight), weight


def mix_states(
    model: "QuietStarModel", hidden_base: Tensor, hidden_thought: Tensor
) -> tuple[Tensor, Tensor]:
    """`(1 - w) hidden_base + w hidden_thought`, whose logits are the mixed logits.

    Half the work of mixing logits where only states are at hand; exactly base where w is 0.

    Args:
        hidden_base, hidden_thought: `[..., hidden]`, in the model's dtype.

    Returns:
        The mixed states, `[..., hidden]` in the model's dtype, and w, `[...]`, float32.
    """
    weight = model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
    share = weight.unsqueeze(-1)
    mixed = (1 - share) * hidden_base + share * hidden_thought
    return mixed.to(hidden_base.dtype), weight


def _pick(logits: Tensor, temperature: float, seed: int, role: int) -> Tensor:
    """One token at each position: `[batch, seq, vocab]` to `[batch, seq]`."""
    batch, seq, _ = logits.shape
    positions = torch.arange(1, seq + 1, device=logits.device).repeat(batch)
    keys = row_keys(torch.full_like(positions, seed), positions, torch.full_like(positions, role))
    temperatures = torch.full(keys.shape, temperature, device=logits.device)
    return pick_tokens(logits.flatten(0, 1), temperatures, keys).view(batch, seq)


def check_batch(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    *,
    vocab_size: int,
    delimiter_ids: tuple[int, ...],
) -> Tensor:
    """The attention mask as bool, after checking that the batch makes sense.

    Raises:
        RequestError: wrong shape or dtype, an id out of the vocabulary, a delimiter among the real
            tokens, padding elsewhere than on the right, or an empty row.
    """
    if input_ids.dim() != 2 or input_ids.dtype != torch.int64 or input_ids.numel() == 0:
        raise RequestError(
            f"input_ids must be a non-empty [batch, seq] int64 tensor, got shape "
            f"{list(input_ids.shape)} of {input_ids.dtype}",
            param="input_ids",
        )
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    is_real = attention_mask.to(device=input_ids.device, dtype=torch.bool)
    if is_real.shape != input_ids.shape:
        raise RequestError(
            f"attention_mask has shape {list(is_real.shape)}, input_ids {list(input_ids.shape)}",
            param="attention_mask",
        )
    if not bool(is_real[:, 0].all()) or bool((~is_real[:, :-1] & is_real[:, 1:]).any()):
        raise RequestError(
            "attention_mask must be 1 for each row's tokens and then 0: pad on the right",
            param="attention_mask",
        )
    if bool(((input_ids < 0) | (input_ids >= vocab_size)).any()):
        raise RequestError(f"input_ids must be in 0..{vocab_size - 1}", param="input_ids")
    for delimiter in delimiter_ids:
        if bool(((input_ids == delimiter) & is_real).any()):
            raise RequestError(
                f"input_ids contain the thought delimiter {delimiter}; a prompt cannot hold one",
                param="input_ids",
            )
    return is_real

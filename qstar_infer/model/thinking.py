"""The oracle: tokenwise parallel thinking (paper, section 4.1), a thought at every position.

Short, and simple to check against the paper. Training, evaluation and tests use it; the engine must
give the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from qstar_infer.attention.interface import AttentionState
from qstar_infer.attention.parallel import ParallelThoughts
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.sampling.logit_rows import mix_logits
from qstar_infer.sampling.noise import pick_tokens, row_keys
from qstar_infer.thinking_rule import ThinkingPlaces


class ThinkingModel(Protocol):
    """What thinking needs of a model; `QuietStarModel` documents each member."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def thinking_parts(self) -> ThoughtParts: ...

    def embed(self, token_ids: Tensor) -> Tensor: ...

    def as_embedding(self, vector: Tensor) -> Tensor: ...

    def hidden(
        self, embeddings: Tensor, positions: Tensor, attention: AttentionState
    ) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...

    def mask_delimiters(self, logits: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtTrace:
    """The thoughts at every position. Rows of padding hold meaningless numbers.

    Where the model does not think, the base logits decide.
    """

    base_logits: Tensor
    """`[batch, seq, vocab]`, float32. Next-token logits without a thought, nothing masked."""
    thought_ids: Tensor
    """`[batch, seq, num_thought_tokens]`, int64. The sampled tokens, without the delimiters; -1
    where the model does not think."""
    mixing_weight: Tensor
    """`[batch, seq]`, float32. The share of the thought; 0 where the model does not think."""
    logits: Tensor
    """`[batch, seq, vocab]`, float32. Mixed logits; the delimiters are at minus infinity."""
    is_thinking: Tensor
    """`[batch, seq]`, bool. Whether the model thinks at this token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Thoughts at many positions of a batch, for training. Differentiable."""

    attention: ParallelThoughts
    """Holds keys and values, so that more tokens can be fed after each thought."""
    hidden_everywhere: Tensor
    """`[batch, seq, hidden]`. State at each token."""
    hidden_base: Tensor
    """`[batch, anchors, hidden]`. State at each anchor."""
    thought_ids: Tensor
    """`[batch, anchors, num_thought_tokens]`, int64."""
    hidden_thought: Tensor | None
    """`[batch, anchors, hidden]`. State at the end vector; None for thoughts of length 0."""


ThoughtSampler = Callable[[Tensor, int], Tensor]
"""Samples the thought token with this index, counted from 1, at every anchor: states `[batch,
anchors, hidden]` to ids `[batch, anchors]`, never a delimiter."""


def roll_out(
    model: ThinkingModel,
    input_ids: Tensor,
    *,
    attention_mask: Tensor,
    num_thought_tokens: int,
    choose: ThoughtSampler,
    anchors: Tensor | None = None,
    copies: int = 1,
) -> Rollout:
    """Think at many positions of a checked batch.

    The text, and the start of the thoughts, are computed once for all copies.

    Args:
        input_ids: `[batch, seq]`, int64, right padded.
        attention_mask: `[batch, seq]`, bool, False at padding.
        num_thought_tokens: sampled tokens per thought; 0: no thoughts.
        choose: samples the thought tokens.
        anchors: `[batch, anchors]`, int64: where to think. None: everywhere, anchors = seq.
        copies: thoughts at each anchor: the columns of the result are the first thoughts of all
            anchors, then their second thoughts, and so on.
    """
    attention = ParallelThoughts(attention_mask, anchors, copies=copies)
    everywhere = model.hidden(model.embed(input_ids), attention.everywhere, attention.next_pass())
    hidden_base = everywhere
    if attention.anchors is not attention.everywhere:
        columns = attention.anchors.unsqueeze(-1).expand(-1, -1, model.hidden_size)
        hidden_base = everywhere.gather(1, columns)
    shape = attention.anchors.shape
    thought_ids: list[Tensor] = []
    hidden_thought = None
    if num_thought_tokens > 0:
        parts = model.thinking_parts
        places = attention.places
        start = model.as_embedding(parts.start_thought).expand(*places.shape, -1)
        hidden = model.hidden(start, places + 1, attention.next_common_pass())
        thought_ids.append(choose(hidden.repeat(1, copies, 1), 1))
        for index in range(2, num_thought_tokens + 1):
            fed = model.embed(thought_ids[-1])
            hidden = model.hidden(fed, attention.anchors + index, attention.next_pass())
            thought_ids.append(choose(hidden, index))
        # The last thought token is sampled but not fed; the end vector follows in the same pass.
        end = model.as_embedding(parts.end_thought).expand(*shape, -1)
        last = attention.anchors + num_thought_tokens
        hidden = model.hidden(
            torch.cat([model.embed(thought_ids[-1]), end], dim=1),
            torch.cat([last + 1, last + 2], dim=1),
            attention.next_pass(num_tokens=2),
        )
        hidden_thought = hidden[:, shape[1] :]
    return Rollout(
        attention=attention,
        hidden_everywhere=everywhere,
        hidden_base=hidden_base,
        thought_ids=torch.stack(thought_ids, -1) if thought_ids else input_ids.new_empty(*shape, 0),
        hidden_thought=hidden_thought,
    )


def think_at(
    model: ThinkingModel,
    input_ids: Tensor,
    *,
    attention_mask: Tensor,
    num_thought_tokens: int,
    temperature: float,
    seed: int,
    places: ThinkingPlaces,
) -> ThoughtTrace:
    """Think at every position of a checked batch, and mix where the rule says so.

    Args:
        input_ids, attention_mask, num_thought_tokens: as for `roll_out`.
        temperature: of the thought's tokens; 0 takes the most likely.
        seed: of the sampling noise, the same for each row of the batch.
        places: where the model thinks. The thoughts at other positions are computed and dropped.
    """

    def choose(hidden: Tensor, index: int) -> Tensor:
        logits = model.mask_delimiters(model.logits(hidden))
        return _pick(logits, temperature, seed, index)

    rollout = roll_out(
        model,
        input_ids,
        attention_mask=attention_mask,
        num_thought_tokens=num_thought_tokens,
        choose=choose,
    )
    logits = base_logits = model.logits(rollout.hidden_base)
    mixing_weight = base_logits.new_zeros(input_ids.shape)
    is_thinking = torch.zeros_like(input_ids, dtype=torch.bool)
    if rollout.hidden_thought is not None:
        is_thinking = thinks_at(model, places, input_ids, rollout.hidden_base)
        mixed, weight = mix(model, rollout.hidden_base, base_logits, rollout.hidden_thought)
        logits = torch.where(is_thinking.unsqueeze(-1), mixed, base_logits)
        mixing_weight = weight.where(is_thinking, 0.0)
    return ThoughtTrace(
        base_logits=base_logits,
        thought_ids=rollout.thought_ids.where(is_thinking.unsqueeze(-1), -1),
        mixing_weight=mixing_weight,
        logits=model.mask_delimiters(logits),
        is_thinking=is_thinking,
    )


def thinks_at(
    model: ThinkingModel, places: ThinkingPlaces, input_ids: Tensor, hidden_base: Tensor
) -> Tensor:
    """Whether the model thinks at each token: `[batch, seq]`, bool.

    Args:
        places: its rule. One that asks the gate needs a model with a gate.
        input_ids: `[batch, seq]`, int64.
        hidden_base: `[batch, seq, hidden]`, the states at these tokens.
    """
    if places.asks_gate:
        gate = model.thinking_parts.gate
        assert gate is not None, "the rule asks a gate that the model does not have"
        return gate.score(hidden_base) > 0
    if places.behind_ids is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    return torch.isin(input_ids, torch.tensor(sorted(places.behind_ids), device=input_ids.device))


def mix(
    model: ThinkingModel, hidden_base: Tensor, base_logits: Tensor, hidden_thought: Tensor
) -> tuple[Tensor, Tensor]:
    """Mixed logits `[..., vocab]` and mixing weight `[...]`, both float32."""
    weight = model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
    return mix_logits(base_logits, model.logits(hidden_thought), weight), weight


def mix_states(
    model: ThinkingModel, hidden_base: Tensor, hidden_thought: Tensor
) -> tuple[Tensor, Tensor]:
    """`(1 - w) hidden_base + w hidden_thought`, whose logits are the mixed logits.

    Needs one output embedding where `mix` needs two; exactly base where w is 0.

    Args:
        hidden_base, hidden_thought: `[..., hidden]`, in the model's dtype.

    Returns:
        The mixed states, `[..., hidden]` in the model's dtype, and w, `[...]`, float32.
    """
    weight = model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
    share = weight.unsqueeze(-1)
    mixed = (1 - share) * hidden_base + share * hidden_thought
    return mixed.to(hidden_base.dtype), weight


def _pick(logits: Tensor, temperature: float, seed: int, index: int) -> Tensor:
    """Sample one token at each position: `[batch, seq, vocab]` to `[batch, seq]`."""
    batch, seq, _ = logits.shape
    positions = torch.arange(1, seq + 1, device=logits.device).repeat(batch)
    keys = row_keys(torch.full_like(positions, seed), positions, torch.full_like(positions, index))
    temperatures = torch.full(keys.shape, temperature, device=logits.device)
    return pick_tokens(logits.flatten(0, 1), temperatures, keys).view(batch, seq)

"""Attention of the oracle: thoughts at many positions of a batch at once.

Memory grows linearly with the sequence length: scores are computed for 128 queries at a time, and
computed again in the backward pass, unless there are so few keys that scores are as small as
queries.

Legend: batch, heads, kv_heads, groups (heads = kv_heads * groups), seq, anchors, chunk, head_dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

QUERIES_AT_ONCE = 128
KEPT_KEYS = 2
"""Scores of at most this many keys for each dimension of a head are kept for the backward pass."""

Memory = list[tuple[Tensor, Tensor]]
"""Keys and values of one layer: first of the base tokens, `[batch, kv_heads, seq, head_dim]`, then
of the first, second, ... token of all thoughts, `[batch, kv_heads, anchors, head_dim]` each. A
token that all thoughts of an anchor have in common is stored once."""


class ParallelThoughts:
    """Keys and values of a batch and of the thoughts at its positions.

    A base token sees its prefix. A thought token sees the prefix up to its anchor and the earlier
    tokens of its own thought. The first pass feeds the base tokens; every later pass feeds one or
    more tokens to each thought. Keys and values are computed once and kept. Differentiable.
    """

    def __init__(
        self, attention_mask: Tensor, anchors: Tensor | None = None, *, copies: int = 1
    ) -> None:
        """
        Args:
            attention_mask: `[batch, seq]`, bool. False where a base token is padding.
            anchors: `[batch, anchors]`, int64: positions to think at. None: all positions.
            copies: thoughts at each anchor.

        `self.anchors` has an entry for each thought, `[batch, copies * anchors]`: the first
        thoughts of all anchors, then their second thoughts, and so on.
        """
        seq = attention_mask.shape[1]
        self.is_real = attention_mask
        self.everywhere = torch.arange(seq, device=attention_mask.device).expand_as(attention_mask)
        self.places = self.everywhere if anchors is None else anchors
        self.anchors = self.places if copies == 1 else self.places.repeat(1, copies)
        self.memory: dict[int, Memory] = {}
        self._num_fed = 0

    def next_pass(self, num_tokens: int = 1) -> "ParallelPass":
        """The attention state of the next forward pass.

        Args:
            num_tokens: tokens fed to each thought. The rows are the first tokens of all anchors,
                then their second tokens, and so on: `[batch, num_tokens * anchors]`.
        """
        positions = self.everywhere if self._num_fed == 0 else self.anchors
        return self._next(positions, num_tokens)

    def next_common_pass(self) -> "ParallelPass":
        """The same for one token that all thoughts of an anchor begin with: `[batch, anchors]`."""
        return self._next(self.places, 1)

    def _next(self, positions: Tensor, num_tokens: int) -> "ParallelPass":
        first = self._num_fed
        self._num_fed += num_tokens
        return ParallelPass(self, positions, first, num_tokens)


class ParallelPass:
    """One forward pass over `ParallelThoughts`.

    It stores its own index, so that gradient checkpointing can run any layer of any pass again.
    """

    def __init__(
        self, thoughts: ParallelThoughts, positions: Tensor, first: int, num_tokens: int
    ) -> None:
        self._thoughts = thoughts
        self._positions = positions
        self._first = first
        self._num_tokens = num_tokens
        self._is_sorted = self._positions is thoughts.everywhere

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """See `AttentionState.attend`; rows are the base tokens, or tokens of the thoughts."""
        count = self._positions.shape[1]
        fed = list(
            zip(torch.split(key, count, dim=2), torch.split(value, count, dim=2), strict=True)
        )
        memory = self._thoughts.memory.setdefault(layer, [])
        if len(memory) == self._first:
            memory.extend(fed)
        known = [*(self._for_each_thought(pair) for pair in memory[1 : self._first]), *fed]
        known = [*memory[: min(1, self._first)], *known]

        batch, _, num_rows, head_dim = query.shape
        grouped = (query * scale).view(batch, key.shape[1], -1, num_rows, head_dim)
        outputs = [
            self._attend_token(tokens, known[: self._first + number + 1], window)
            for number, tokens in enumerate(torch.split(grouped, count, dim=3))
        ]
        return torch.cat(outputs, dim=3).flatten(1, 2).transpose(1, 2)

    def _for_each_thought(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Repeat the keys and values of a common token for all thoughts of its anchor."""
        copies = self._positions.shape[1] // pair[0].shape[2]
        if copies == 1:
            return pair
        key, value = pair
        return key.repeat(1, 1, copies, 1), value.repeat(1, 1, copies, 1)

    def _attend_token(self, query: Tensor, known: Memory, window: int | None) -> Tensor:
        """Attention of one token at each position.

        Args:
            query: `[batch, kv_heads, groups, positions, head_dim]`, scaled.
            known: keys and values of the base, then of the thoughts up to this token.

        Returns:
            Same shape as `query`.
        """
        base, *own = known
        outputs = []
        for first in range(0, query.shape[3], QUERIES_AT_ONCE):
            rows = slice(first, min(first + QUERIES_AT_ONCE, query.shape[3]))
            keys = self._key_range(rows, window)
            mask_inputs = self._mask_inputs(rows, keys, window)
            chunk = (
                query[:, :, :, rows],
                *(states[:, :, keys] for states in base),
                *(states[:, :, rows] for pair in own for states in pair),
            )
            num_keys = chunk[1].shape[2] + len(own)
            is_kept = num_keys <= KEPT_KEYS * query.shape[-1]
            outputs.append(
                checkpoint(
                    _attend, mask_inputs, *chunk, use_reentrant=False, preserve_rng_state=False
                )
                if torch.is_grad_enabled() and not is_kept
                else _attend(mask_inputs, *chunk)
            )
        return torch.cat(outputs, dim=3)

    def _key_range(self, rows: slice, window: int | None) -> slice:
        """The base keys that at least one row of a chunk may see."""
        if not self._is_sorted:
            return slice(0, self._thoughts.everywhere.shape[1])
        return slice(0 if window is None else max(0, rows.start - window + 1), rows.stop)

    def _mask_inputs(self, rows: slice, keys: slice, window: int | None) -> "_MaskInputs":
        batch = slice(0, 1) if self._is_sorted else slice(None)
        return _MaskInputs(
            rows=self._positions[batch, rows, None],
            keys=self._thoughts.everywhere[batch, None, keys],
            is_real=self._thoughts.is_real[:, None, keys],
            window=window,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MaskInputs:
    """The small tensors that a chunk's mask is computed from.

    Autograd keeps these and not the mask, because the masks of all chunks together would grow with
    the square of the sequence length.
    """

    rows: Tensor
    """`[batch or 1, chunk, 1]`, int64: positions."""
    keys: Tensor
    """`[batch or 1, 1, keys]`, int64: positions."""
    is_real: Tensor
    """`[batch, 1, keys]`, bool."""
    window: int | None

    def mask(self) -> Tensor:
        """Which keys are hidden from a row: `[batch, 1, 1, chunk, keys]`, bool."""
        is_hidden = self.keys > self.rows
        if self.window is not None:
            is_hidden |= self.keys <= self.rows - self.window
        # A padded row sees itself, because a softmax over no keys would be NaN.
        is_padding = ~self.is_real & (self.keys != self.rows)
        return (is_hidden | is_padding)[:, None, None]


def _attend(
    mask_inputs: _MaskInputs, query: Tensor, base_keys: Tensor, base_values: Tensor, *own: Tensor
) -> Tensor:
    """Softmax attention of a chunk of rows over base keys and each row's own thought.

    Args:
        mask_inputs: of the base keys.
        query: `[batch, kv_heads, groups, chunk, head_dim]`, scaled.
        base_keys, base_values: `[batch, kv_heads, keys, head_dim]`.
        own: keys and values of each row's own thought, alternating,
            `[batch, kv_heads, chunk, head_dim]` each.

    Returns:
        `[batch, kv_heads, groups, chunk, head_dim]`.
    """
    num_keys = base_keys.shape[2]
    # Groups and rows are flattened into the rows of one matrix product.
    scores = (query.flatten(2, 3) @ base_keys.transpose(-1, -2)).view(*query.shape[:4], num_keys)
    scores.masked_fill_(mask_inputs.mask(), float("-inf"))
    if own:
        # Multiply and sum: with one key for each row, a matrix product would be slower.
        own_scores = [(query * keys.unsqueeze(2)).sum(-1, keepdim=True) for keys in own[::2]]
        scores = torch.cat([scores, *own_scores], dim=-1)
    shares = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    output = (shares[..., :num_keys].flatten(2, 3) @ base_values).view(*query.shape[:4], -1)
    for index, values in enumerate(own[1::2], start=num_keys):
        output = output + shares[..., index : index + 1] * values.unsqueeze(2)
    return output

"""Attention of the oracle: thoughts at many positions of a batch at once.

Memory grows with the sequence, not with its square: scores are made for some queries at a time, and
made again when gradients need them.

Legend: batch, heads, kv_heads, groups (heads = kv_heads * groups), seq, anchors, chunk, head_dim.
"""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

QUERIES_AT_ONCE = 128

Memory = list[tuple[Tensor, Tensor]]
"""Keys and values at one layer: of the base, `[batch, kv_heads, seq, head_dim]`, then of each token
that thoughts were fed, `[batch, kv_heads, anchors, head_dim]`."""


class ParallelThoughts:
    """Base tokens see their prefix; a thought sees its anchor's prefix and itself.

    The first pass feeds the base tokens, every later one feeds one or more tokens to each thought.
    Keys and values are computed once and kept. Differentiable.
    """

    def __init__(self, attention_mask: Tensor, anchors: Tensor | None = None) -> None:
        """
        Args:
            attention_mask: `[batch, seq]`, bool. False where a base token is padding.
            anchors: `[batch, anchors]`, int64: where to think. None: everywhere.
        """
        seq = attention_mask.shape[1]
        self.is_real = attention_mask
        self.everywhere = torch.arange(seq, device=attention_mask.device).expand_as(attention_mask)
        self.anchors = self.everywhere if anchors is None else anchors
        self.memory: dict[int, Memory] = {}
        self._num_fed = 0

    def next_pass(self, num_tokens: int = 1) -> "ParallelPass":
        """The attention state of the next forward pass.

        Args:
            num_tokens: fed to each thought. The rows are all anchors' first tokens, then all second
                ones, and so on: `[batch, num_tokens * anchors]`.
        """
        first = self._num_fed
        self._num_fed += num_tokens
        return ParallelPass(self, first, num_tokens)


class ParallelPass:
    """One forward pass over `ParallelThoughts`.

    It knows its place, so that gradient checkpointing may run any layer of any pass again.
    """

    def __init__(self, thoughts: ParallelThoughts, first: int, num_tokens: int) -> None:
        self._thoughts = thoughts
        self._first = first
        self._num_tokens = num_tokens
        self._positions = thoughts.everywhere if first == 0 else thoughts.anchors
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
        """See `AttentionState.attend`; rows are the base tokens, or the thoughts' anchors."""
        count = self._positions.shape[1]
        fed = list(
            zip(torch.split(key, count, dim=2), torch.split(value, count, dim=2), strict=True)
        )
        memory = self._thoughts.memory.setdefault(layer, [])
        if len(memory) == self._first:
            memory.extend(fed)
        known = [*memory[: self._first], *fed]

        batch, _, num_rows, head_dim = query.shape
        grouped = (query * scale).view(batch, key.shape[1], -1, num_rows, head_dim)
        outputs = [
            self._attend_token(tokens, known[: self._first + number + 1], window)
            for number, tokens in enumerate(torch.split(grouped, count, dim=3))
        ]
        return torch.cat(outputs, dim=3).flatten(1, 2).transpose(1, 2)

    def _attend_token(self, query: Tensor, known: Memory, window: int | None) -> Tensor:
        """Attention of one token at each position.

        Args:
            query: `[batch, kv_heads, groups, positions, head_dim]`, scaled.
            known: of the base, then of the thoughts up to this token.

        Returns:
            As `query`.
        """
        base, *own = known
        outputs = []
        for first in range(0, query.shape[3], QUERIES_AT_ONCE):
            rows = slice(first, min(first + QUERIES_AT_ONCE, query.shape[3]))
            keys, sees = self._visible(rows, window)
            chunk = (
                query[:, :, :, rows],
                *(states[:, :, keys] for states in base),
                sees,
                *(states[:, :, rows] for pair in own for states in pair),
            )
            outputs.append(
                checkpoint(_attend, *chunk, use_reentrant=False, preserve_rng_state=False)
                if torch.is_grad_enabled()
                else _attend(*chunk)
            )
        return torch.cat(outputs, dim=3)

    def _visible(self, rows: slice, window: int | None) -> tuple[slice, Tensor]:
        """The base keys that some row of a chunk sees, and which row sees which.

        Returns:
            A slice of the base, and `[batch, 1, 1, chunk, keys]`, bool.
        """
        everywhere = self._thoughts.everywhere
        keys = slice(0, everywhere.shape[1])
        if self._is_sorted:
            keys = slice(0 if window is None else max(0, rows.start - window + 1), rows.stop)
        distance = self._positions[:, rows, None] - everywhere[:, None, keys]
        sees = distance >= 0
        if window is not None:
            sees = sees & (distance < window)
        # A padded row keeps itself, so that its (ignored) softmax is never over nothing.
        sees = (sees & self._thoughts.is_real[:, None, keys]) | (distance == 0)
        return keys, sees[:, None, None]


def _attend(
    query: Tensor, base_keys: Tensor, base_values: Tensor, sees: Tensor, *own: Tensor
) -> Tensor:
    """Softmax attention of a chunk of rows over base keys and each row's own thought.

    Args:
        query: `[batch, kv_heads, groups, chunk, head_dim]`, scaled.
        base_keys, base_values: `[batch, kv_heads, keys, head_dim]`.
        sees: `[batch, 1, 1, chunk, keys]`, bool.
        own: keys and values in turn, `[batch, kv_heads, chunk, head_dim]` each: row i's thought.

    Returns:
        `[batch, kv_heads, groups, chunk, head_dim]`.
    """
    num_keys = base_keys.shape[2]
    # Groups and rows together are the rows of one matrix product.
    scores = (query.flatten(2, 3) @ base_keys.transpose(-1, -2)).view(*query.shape[:4], num_keys)
    scores = scores.masked_fill(~sees, float("-inf"))
    if own:
        # Products and sums: one key for each row makes too small a matrix product.
        own_scores = [(query * keys.unsqueeze(2)).sum(-1, keepdim=True) for keys in own[::2]]
        scores = torch.cat([scores, *own_scores], dim=-1)
    shares = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    output = (shares[..., :num_keys].flatten(2, 3) @ base_values).view(*query.shape[:4], -1)
    for index, values in enumerate(own[1::2], start=num_keys):
        output = output + shares[..., index : index + 1] * values.unsqueeze(2)
    return output

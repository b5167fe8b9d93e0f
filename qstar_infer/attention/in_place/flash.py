"""Torch's flash kernel for CPUs, and how its results over several sets of keys are merged."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Partial(NamedTuple):
    """Attention over some of a row's keys."""

    output: Tensor
    """`[parts, kv_heads, rows, dim]`."""
    logsumexp: Tensor
    """`[parts, kv_heads, rows]`, float32 (float64 if the output is): of the scores."""


def flash(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float
) -> Partial:
    """Softmax attention.

    Args:
        query: `[parts, kv_heads, rows, dim]`.
        keys, values: `[parts, kv_heads, keys, dim]`, with any strides but that of `dim`.
        mask: added to the scores, `[parts, 1, rows, keys]`, in the dtype of `query`.
    """
    output, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, attn_mask=mask, scale=scale
    )
    return Partial(output, logsumexp)


def merge(partials: Sequence[Partial]) -> Tensor:
    """Attention over the keys of all parts: `[kv_heads, rows, dim]`."""
    logsumexp = torch.cat([partial.logsumexp for partial in partials])
    shares = logsumexp.softmax(dim=0).unsqueeze(-1)
    outputs = torch.cat([partial.output for partial in partials])
    return (outputs * shares).sum(dim=0).to(outputs.dtype)

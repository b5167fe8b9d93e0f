"""The interface of a decoder: embeddings in, states and logits out."""

from typing import Protocol

import torch
from torch import Tensor

from qstar_infer.attention.interface import AttentionState


class Decoder(Protocol):
    """The layers of one language model. Rows of several sequences are fed as one batch of size 1.

    Attributes:
        dtype: of embeddings, states, keys and values; the weights may have another.
        device: where all of them are.
    """

    dtype: torch.dtype
    device: torch.device

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embedding rows: `[rows]` int64 to `[rows, hidden]`."""
        ...

    def hidden(self, embeddings: Tensor, positions: Tensor, attention: AttentionState) -> Tensor:
        """Last-layer states, after the final norm.

        Args:
            embeddings: `[rows, hidden]`.
            positions: `[rows]`, int64.
            attention: decides what each row sees, and stores keys and values.

        Returns:
            `[rows, hidden]`.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """`[rows, hidden]` to `[rows, vocab]`, float32."""
        ...

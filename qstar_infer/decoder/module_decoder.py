"""Runs the modules of transformers as they are. Works for every architecture."""

from torch import Tensor

from qstar_infer.attention.interface import AttentionState
from qstar_infer.model.quiet_star import QuietStarModel


class ModuleDecoder:
    """A `Decoder` that calls the backbone's own modules."""

    def __init__(self, model: QuietStarModel) -> None:
        self._model = model
        self.dtype = model.dtype
        self.device = model.device

    def embed(self, token_ids: Tensor) -> Tensor:
        """See `Decoder.embed`."""
        return self._model.embed(token_ids)

    def hidden(self, embeddings: Tensor, positions: Tensor, attention: AttentionState) -> Tensor:
        """See `Decoder.hidden`."""
        return self._model.hidden(embeddings[None], positions[None], attention)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder.logits`."""
        return self._model.logits(hidden)

"""The interface of a model to the engine: what it must know of a model, whoever computes it."""

from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thought_parts import ThoughtParts


class ServedModel(Protocol):
    """A model that an engine can serve. Only its runner knows where its weights are."""

    @property
    def name(self) -> str:
        """The name of the source it was loaded from. The default name of a served model."""
        ...

    @property
    def size_and_precision(self) -> str:
        """Number of parameters and type of the weights, for a person."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def backbone_config(self) -> PreTrainedConfig: ...

    @property
    def generation_config(self) -> GenerationConfig | None: ...

    @property
    def config(self) -> QuietStarConfig | None:
        """None for a model that cannot think."""
        ...

    @property
    def thought_parts(self) -> ThoughtParts | None:
        """None for a model that cannot think."""
        ...

    @property
    def layer_shapes(self) -> Sequence[LayerShape]:
        """What each attention layer stores for a token."""
        ...

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding; may exceed the tokenizer's vocabulary."""
        ...

    @property
    def num_positions(self) -> int | None:
        """Rows of a learned position table; None for rotary positions."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of keys and values."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def can_think(self) -> bool: ...

    @property
    def has_gate(self) -> bool: ...

    @property
    def num_thought_tokens(self) -> int:
        """Thought length as trained; 0 for a model that cannot think."""
        ...

    @property
    def delimiter_ids(self) -> tuple[int, ...]: ...

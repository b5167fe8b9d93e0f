"""A backbone, its tokenizer and its thought parts, as one model that can think."""

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thought_parts import ThoughtParts


class QuietStarModel(nn.Module):
    """What `load_model` returns, in eval mode.

    Attributes:
        backbone: a stock causal language model.
        tokenizer: its tokenizer.
        thought_parts: None for a model that cannot think.
        config: None for a model that cannot think.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        thought_parts: ThoughtParts | None = None,
        config: QuietStarConfig | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.thought_parts = thought_parts
        self.config = config

"""The content of `quiet_star.json`. Plain data, no torch."""

from dataclasses import dataclass, field
from typing import Any

from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

FORMAT_VERSION = 1
"""Of a checkpoint with the paper's talk head."""
ANY_HEAD_FORMAT_VERSION = 2
"""Of a checkpoint with another talk head. Programs that know only version 1 ignore the head's
shape, so they must refuse such a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkHeadConfig:
    """Shape of a talk head: linear layers with a ReLU between each two of them.

    Raises:
        ValueError: the layers do not lead from `2 * hidden_size` to 1, or the numbers of `layers`
            and `biases` differ.
    """

    hidden_size: int
    """The backbone's width."""
    layers: tuple[tuple[int, int], ...]
    """`(out, in)` of each linear layer, the shape of its weight. The first `in` is
    `2 * hidden_size`, the last `out` is 1."""
    biases: tuple[bool, ...]
    """Whether each layer has a bias."""
    sigmoid: bool = False
    """Whether the mixing weight is the sigmoid of the last layer's output, or the output itself."""

    def __post_init__(self) -> None:
        widths = [2 * self.hidden_size, *(out for out, _ in self.layers)]
        fits = [width for _, width in self.layers] == widths[:-1] and widths[-1] == 1
        if not fits or not self.layers or len(self.biases) != len(self.layers):
            raise ValueError(
                f"layers {list(map(list, self.layers))} with biases {list(self.biases)} are no "
                f"talk head from {2 * self.hidden_size} to 1"
            )

    @classmethod
    def standard(cls, hidden_size: int) -> "TalkHeadConfig":
        """The paper's: three layers, no bias in the last, no sigmoid."""
        return cls(
            hidden_size=hidden_size,
            layers=((hidden_size, 2 * hidden_size), (hidden_size, hidden_size), (1, hidden_size)),
            biases=(True, True, False),
        )

    @property
    def is_standard(self) -> bool:
        return self == TalkHeadConfig.standard(self.hidden_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietStarConfig:
    """How a checkpoint thinks; its tensors are in `ThoughtParts`."""

    num_thought_tokens: int
    """Sampled tokens per thought as trained, without the two delimiters; at least 1."""
    num_talk_tokens: int = 4
    """True tokens predicted after each thought in training."""
    thought_temperature: float | None = None
    """Default temperature of thoughts, in [0, 2], for requests that sample. None: 1."""
    thinking: ThinkingRule = EVERYWHERE
    """Where it thinks, unless a request says otherwise."""
    start_thought_token_id: int | None = None
    """Vocabulary id of the start delimiter; None if the vocabulary has none. None is needed."""
    end_thought_token_id: int | None = None
    base_model: str | None = None
    """Where the backbone comes from; None when unknown."""
    base_revision: str | None = None
    training: dict[str, Any] | None = None
    """How the thought parts were trained. None: not at all, or it is not noted."""
    notes: list[str] = field(default_factory=list)
    """What the loader inferred, in sentences for a person."""

    @property
    def delimiter_ids(self) -> tuple[int, ...]:
        """The ids that are never sampled and never accepted in a prompt."""
        ids = (self.start_thought_token_id, self.end_thought_token_id)
        return tuple(token_id for token_id in ids if token_id is not None)

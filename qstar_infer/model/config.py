"""The content of `quiet_star.json`. Plain data, no torch."""

from dataclasses import dataclass, field
from typing import Any

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietStarConfig:
    """How a checkpoint thinks; its tensors are in `ThoughtParts`."""

    num_thought_tokens: int
    """Sampled tokens per thought as trained, without the two delimiters; at least 1."""
    num_talk_tokens: int = 4
    """True tokens predicted after each thought in training."""
    thought_temperature: float | None = None
    """Default temperature of thoughts, in [0, 2], for requests that sample. None: 1."""
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

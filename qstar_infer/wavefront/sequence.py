"""The state of one completion on its way through the engine."""

from dataclasses import dataclass, field
from enum import Enum, auto

from qstar_infer.kv_cache.block_manager import BlockTable
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.wavefront import Wavefront


class SequenceStatus(Enum):
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One completion of one request: what it asks for, and how far it is."""

    request_id: str
    index: int
    """Which of the request's completions."""
    params: SamplingParams
    seed: int
    num_thought_tokens: int
    """Resolved for this model; 0 does not think."""
    thought_temperature: float
    num_prompt_tokens: int
    max_tokens: int
    wavefront: Wavefront
    eos_token_ids: frozenset[int] = frozenset()
    """Empty where `ignore_eos` is set."""
    scoring: PromptScoring | None = None
    """Scores the prompt's tokens, in one completion of a request that asks for it."""
    arrival: int = 0
    """Order of arrival, for fairness."""
    status: SequenceStatus = SequenceStatus.WAITING
    table: BlockTable | None = None
    """Blocks of the text; None unless running."""
    end_token_ids: frozenset[int] = field(init=False)
    """Token ids that end the output."""

    def __post_init__(self) -> None:
        self.end_token_ids = self.eos_token_ids | set(self.params.stop_token_ids)

    @property
    def num_output_tokens(self) -> int:
        return self.wavefront.num_verified - self.num_prompt_tokens

    @property
    def num_feedable(self) -> int:
        """Tokens that may be fed: nothing comes after the last token that `max_tokens` allows."""
        return min(self.wavefront.num_known, self.num_prompt_tokens + self.max_tokens - 1)

    @property
    def is_prefilling(self) -> bool:
        """More than the newest verified token is still to be computed."""
        return self.wavefront.num_computed < self.wavefront.num_verified - 1

    @property
    def is_prompt_scored(self) -> bool:
        """Nothing of the prompt is left to score."""
        return self.scoring is None or self.scoring.is_complete

    def needs_score(self, anchor: int) -> bool:
        """The known prompt token after this anchor is still to be scored."""
        return self.scoring is not None and self.scoring.needs(anchor)

    def needs_decision(self, anchor: int) -> bool:
        """The token after this anchor is still to be decided or scored."""
        return anchor >= self.wavefront.num_verified - 1 or self.needs_score(anchor)

    def known_next(self, anchor: int) -> int | None:
        """The prompt token after the anchor; None where the model is to choose."""
        is_known = anchor + 1 < self.num_prompt_tokens
        return self.wavefront.token_ids[anchor + 1] if is_known else None

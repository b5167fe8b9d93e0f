"""The state of one completion in the engine."""

from dataclasses import dataclass, field
from enum import Enum, auto

from qstar_infer.kv_cache.block_manager import BlockTable
from qstar_infer.kv_cache.prefix_cache import TextKeys
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.token_rules import TextGrammar, TokenRules
from qstar_infer.wavefront.agreement import Agreement
from qstar_infer.wavefront.prompt_scoring import PromptScoring
from qstar_infer.wavefront.wavefront import Wavefront


class SequenceStatus(Enum):
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One completion of one request: its parameters and its progress."""

    request_id: str
    index: int
    """Index among the request's completions."""
    params: SamplingParams
    seed: int
    num_thought_tokens: int
    """Thought length, resolved for this model; 0: do not think."""
    thought_temperature: float
    num_prompt_tokens: int
    max_tokens: int
    wavefront: Wavefront
    places: ThinkingPlaces = ThinkingPlaces()
    """Where it thinks."""
    rules: TokenRules = TokenRules()
    """What limits its visible tokens."""
    eos_token_ids: frozenset[int] = frozenset()
    """Empty if `ignore_eos` is set."""
    scoring: PromptScoring | None = None
    """Scores the prompt's tokens; None if not requested, or if another completion does it."""
    agreement: Agreement = field(default_factory=Agreement)
    """How often its drafts were right, where it thought."""
    priority: int = 0
    """A lower number is served sooner. It never changes the output."""
    arrival: int = 0
    """Position in the order of arrival; of equal priorities the oldest is served first."""
    status: SequenceStatus = SequenceStatus.WAITING
    table: BlockTable | None = None
    """Blocks of the text; None unless the sequence is running."""
    text_keys: TextKeys = field(default_factory=TextKeys)
    """Names of the text's full blocks in the prefix cache."""
    num_cached_tokens: int | None = None
    """Number of tokens that were found in the prefix cache at the first start; None before it."""
    num_given_up: int = 0
    """Number of computed tokens that the newest preemption has given up."""
    num_passes: int = 0
    """Number of passes that it took part in since its prompt was computed. Those that compute the
    prompt again, after a preemption, do not count."""
    slot: int | None = None
    """Its number among the running sequences; None unless it is running."""
    end_token_ids: frozenset[int] = field(init=False)
    """Token ids that end the output."""
    grammar: TextGrammar | None = field(init=False)
    """Follows the output, drafts included; None if its form is free."""

    def __post_init__(self) -> None:
        self.end_token_ids = self.eos_token_ids | set(self.params.stop_token_ids)
        self.grammar = self.rules.new_grammar() if self.rules.new_grammar else None

    @property
    def rank(self) -> tuple[int, int]:
        """The order in which sequences are served, lowest first."""
        return self.priority, self.arrival

    @property
    def newest_pass(self) -> int:
        """Number of the newest counted pass; 0 computed the last token of the prompt."""
        return self.num_passes - 1

    @property
    def num_reusable(self) -> int:
        """Number of verified tokens that need not be computed if the cache has them.

        The last token's logits are needed, and so are those of prompt tokens to score.
        """
        if self.scoring is not None and not self.scoring.is_complete:
            return len(self.scoring.scores)
        return self.wavefront.num_verified - 1

    @property
    def num_output_tokens(self) -> int:
        return self.wavefront.num_verified - self.num_prompt_tokens

    def output_until(self, end: int) -> list[int]:
        """The output tokens before index `end` of the text, drafts and guesses included."""
        return self.wavefront.text_until(end)[self.num_prompt_tokens :]

    @property
    def max_fed(self) -> int:
        """Number of tokens that are ever fed; the last one that `max_tokens` allows is not."""
        return self.num_prompt_tokens + self.max_tokens - 1

    @property
    def num_feedable(self) -> int:
        """Number of tokens that may be fed now, without guesses."""
        return min(self.wavefront.num_known, self.max_fed)

    @property
    def thinks_everywhere(self) -> bool:
        """Whether there is a thought at every token."""
        return self.places == ThinkingPlaces()

    def may_think_at(self, anchor: int) -> bool:
        """Whether a thought may begin at this token; with a gate, only its pass will tell."""
        return self.num_thought_tokens > 0 and self.places.may_think_at(
            self.wavefront.token_at(anchor)
        )

    @property
    def is_prefilling(self) -> bool:
        """Whether more than the newest verified token is still to be computed."""
        return self.wavefront.num_computed < self.wavefront.num_verified - 1

    @property
    def is_drafting(self) -> bool:
        """Whether all verified tokens are computed, so that the next token to feed is a draft."""
        return self.wavefront.num_computed >= self.wavefront.num_verified

    @property
    def is_prompt_scored(self) -> bool:
        """Whether no prompt token is left to score."""
        return self.scoring is None or self.scoring.is_complete

    def needs_score(self, anchor: int) -> bool:
        """Whether the prompt token after this anchor still needs a score."""
        return self.scoring is not None and self.scoring.needs(anchor)

    def needs_decision(self, anchor: int) -> bool:
        """Whether the token after this anchor is still to be decided or scored."""
        return anchor >= self.wavefront.num_verified - 1 or self.needs_score(anchor)

    def known_next(self, anchor: int) -> int | None:
        """The prompt token after the anchor; None if the model decides it."""
        is_known = anchor + 1 < self.num_prompt_tokens
        return self.wavefront.token_ids[anchor + 1] if is_known else None

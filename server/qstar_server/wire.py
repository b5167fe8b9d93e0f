"""What every generating endpoint writes: log-probabilities, usage and thoughts."""

from collections.abc import Sequence

from pydantic import BaseModel

from qstar_infer.outputs import RequestOutput, Thought

LOWEST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for a token that cannot be: JSON has no infinity."""


def finite_logprob(value: float) -> float:
    """The value, or `LOWEST_LOGPROB` where it is lower, or not a number."""
    return value if value > LOWEST_LOGPROB else LOWEST_LOGPROB


class CompletionTokensDetails(BaseModel):
    """What else was generated beside the visible tokens."""

    reasoning_tokens: int
    """Thought tokens. Not part of `completion_tokens`: `max_tokens` does not limit them."""


class Usage(BaseModel):
    """OpenAI's usage object."""

    prompt_tokens: int
    completion_tokens: int
    """Visible tokens, those of discarded `best_of` candidates included."""
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails


class UsageCounter:
    """Adds up the tokens of the deltas of one request."""

    def __init__(self, num_prompt_tokens: int) -> None:
        self._num_prompt_tokens = num_prompt_tokens
        self._num_completion_tokens = 0
        self._num_thought_tokens = 0

    def add(self, delta: RequestOutput) -> None:
        """Count one delta."""
        self._num_thought_tokens += delta.num_prompt_thought_tokens
        for output in delta.outputs:
            self._num_completion_tokens += len(output.token_ids)
            self._num_thought_tokens += sum(
                len(thought.thought_token_ids) for thought in output.thoughts
            )

    def usage(self) -> Usage:
        """The counts so far."""
        return Usage(
            prompt_tokens=self._num_prompt_tokens,
            completion_tokens=self._num_completion_tokens,
            total_tokens=self._num_prompt_tokens + self._num_completion_tokens,
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=self._num_thought_tokens
            ),
        )


class ThoughtEntry(BaseModel):
    """One visible token and the thought that came before it."""

    thought: str
    thought_token_ids: list[int]
    mixing_weight: float
    token: str
    token_id: int
    logprob: float
    base_logprob: float


def thought_entries(thoughts: Sequence[Thought]) -> list[ThoughtEntry]:
    """The wire form of thoughts, in the order of their tokens."""
    return [
        ThoughtEntry(
            thought=thought.thought,
            thought_token_ids=list(thought.thought_token_ids),
            mixing_weight=thought.mixing_weight,
            token=thought.token,
            token_id=thought.token_id,
            logprob=finite_logprob(thought.logprob),
            base_logprob=finite_logprob(thought.base_logprob),
        )
        for thought in thoughts
    ]

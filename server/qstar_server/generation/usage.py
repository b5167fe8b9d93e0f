"""Token counts of a request, and OpenAI's usage object."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from qstar_infer.outputs import RequestOutput


@dataclass(slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one HTTP request so far."""

    num_prompt_tokens: int
    """Each prompt counts once, however many completions it has."""
    num_completion_tokens: int = 0
    """Visible tokens, including those of `best_of` candidates that are not returned."""
    num_thought_tokens: int = 0
    num_cached_tokens: int = 0

    def add(self, delta: RequestOutput) -> None:
        """Count the tokens of one engine output, in place."""
        self.num_thought_tokens += delta.num_prompt_thought_tokens
        self.num_cached_tokens += delta.num_cached_tokens
        for output in delta.outputs:
            self.num_completion_tokens += len(output.token_ids)
            self.num_thought_tokens += output.num_thought_tokens


class PromptTokensDetails(BaseModel):
    """What was done with the prompt's tokens."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    cached_tokens: int
    """Prompt tokens that were not computed, because the engine had kept them; part of
    `prompt_tokens`."""


class CompletionTokensDetails(BaseModel):
    """Tokens that were generated in addition to the visible ones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reasoning_tokens: int
    """Thought tokens, without the two delimiters. Not part of `completion_tokens`, which they may
    exceed, nor of `total_tokens`: `max_tokens` does not limit them."""


class Usage(BaseModel):
    """OpenAI's usage object."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    prompt_tokens: int
    """Each prompt counts once, however many completions it has."""
    completion_tokens: int
    """Visible tokens, which `max_tokens` limits, including those of `best_of` candidates that are
    not returned."""
    total_tokens: int
    """`prompt_tokens` plus `completion_tokens`."""
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails

    @classmethod
    def of(cls, counts: TokenCounts) -> "Usage":
        """The usage object of these counts."""
        return cls(
            prompt_tokens=counts.num_prompt_tokens,
            completion_tokens=counts.num_completion_tokens,
            total_tokens=counts.num_prompt_tokens + counts.num_completion_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=counts.num_cached_tokens),
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=counts.num_thought_tokens
            ),
        )

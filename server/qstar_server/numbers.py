"""Floats that JSON can carry."""

LOWEST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for a token that cannot be: JSON has no infinity."""


def finite_logprob(value: float) -> float:
    """The value, or `LOWEST_LOGPROB` where it is lower, or not a number."""
    return value if value > LOWEST_LOGPROB else LOWEST_LOGPROB

"""Log-probabilities as JSON numbers, for every endpoint."""

LOWEST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for an impossible token: JSON has no infinity."""


def finite_logprob(value: float) -> float:
    """The value, or `LOWEST_LOGPROB` if it is lower or NaN."""
    return value if value > LOWEST_LOGPROB else LOWEST_LOGPROB

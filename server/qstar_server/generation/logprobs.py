"""Log-probabilities as JSON numbers, for every endpoint."""

import math

LOWEST_LOGPROB = -9999.0
"""What OpenAI and vLLM write for an impossible token: JSON has no infinity."""


def finite_logprob(value: float) -> float:
    """The value, or `LOWEST_LOGPROB` if it is lower.

    Raises:
        ValueError: it is NaN. The engine ends such a request; hiding it would be a wrong answer.
    """
    if math.isnan(value):
        raise ValueError("a log-probability is NaN")
    return value if value > LOWEST_LOGPROB else LOWEST_LOGPROB

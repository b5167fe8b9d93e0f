"""Numbers of a thought, as both views show them."""

import math

from qstar_client._answer_types import Thought


def share(thought: Thought) -> float:
    """The mixing weight in [0, 1], for a colour; 0 if it is not a number."""
    weight = thought.mixing_weight
    return min(max(weight, 0.0), 1.0) if math.isfinite(weight) else 0.0


def rounded(number: float) -> str:
    """Two digits behind the point; never -0.00."""
    return f"{round(number, 2) + 0.0:.2f}"  # adding 0 turns -0.0 into 0.0


def difference(thought: Thought) -> str:
    """What the thought adds to the token's log-probability, with its sign."""
    change = rounded(thought.logprob - thought.base_logprob)
    return change if change.startswith("-") else f"+{change}"

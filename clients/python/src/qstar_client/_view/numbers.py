"""Numbers of a thought as every view shows them: the same digits in Python and in TypeScript.

Both languages compute `floor(|number| * 100 + 0.5)` in float64 and then write an integer. Their own
formats differ where a number lies in the middle of two results.
"""

import math
from typing import Protocol

UNKNOWN = "?"
"""Stands for what is not a number, or is too large to be one that a model computed."""
_LARGEST = 1e9
_STRONGEST_ALPHA = 0.55
_STRONGEST_CHANGE = 3.0
"""Nats; larger changes have the same colour."""


class HasNumbers(Protocol):
    """An entry of one token."""

    @property
    def mixing_weight(self) -> float: ...
    @property
    def logprob(self) -> float: ...
    @property
    def base_logprob(self) -> float: ...


def rounded(number: float) -> str:
    """Two digits behind the point; never -0.00."""
    if not abs(number) < _LARGEST:  # also not a number
        return UNKNOWN
    hundredths = math.floor(abs(number) * 100 + 0.5)
    sign = "-" if number < 0 and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"


def difference(entry: HasNumbers) -> str:
    """What the thought adds to the token's log-probability, in nats, with its sign."""
    change = rounded(entry.logprob - entry.base_logprob)
    return change if change.startswith(("-", UNKNOWN)) else f"+{change}"


def percent(logprob: float) -> str:
    """The probability with one digit behind the point."""
    if math.isnan(logprob):
        return UNKNOWN
    tenths = tenths_of_percent(logprob)
    if tenths == 0 and logprob > -math.inf:
        return "<0.1 %"
    return f"{tenths // 10}.{tenths % 10} %"


def tenths_of_percent(logprob: float) -> int:
    """The probability, from 0 to 1000; 0 if it is not a number."""
    return 0 if math.isnan(logprob) else math.floor(math.exp(min(logprob, 0.0)) * 1000 + 0.5)


def share(entry: HasNumbers) -> float:
    """The mixing weight in [0, 1], for a colour; 0 if it is not a number."""
    weight = entry.mixing_weight
    return min(max(weight, 0.0), 1.0) if math.isfinite(weight) else 0.0


def weight_colour(entry: HasNumbers) -> str | None:
    """A translucent orange, the stronger the larger the thought's weight; None for no colour."""
    return _translucent("240,140,0", share(entry))


def change_colour(entry: HasNumbers) -> str | None:
    """Blue where the thought made the token more likely, red-brown where less; None for neither."""
    change = entry.logprob - entry.base_logprob
    if math.isnan(change):
        return None
    colour = "0,114,178" if change > 0 else "213,94,0"
    return _translucent(colour, min(1.0, abs(change) / _STRONGEST_CHANGE))


def _translucent(colour: str, strength: float) -> str | None:
    alpha = rounded(_STRONGEST_ALPHA * strength)
    return None if alpha == "0.00" else f"rgba({colour},{alpha})"

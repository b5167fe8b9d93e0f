"""Percentiles and shares."""

from collections.abc import Sequence

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent lie, linear between the two nearest.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p95 and p99; None if there are no values."""
    if not values:
        return None
    return {f"p{share}": percentile(values, share) for share in PERCENTILES}

"""When requests arrive: a Poisson process, fixed by its seed."""

import random


def poisson_arrivals(rate: float, duration_s: float, *, seed: int) -> list[float]:
    """Seconds from the start at which requests arrive, ascending, all below `duration_s`.

    Args:
        rate: requests per second, on average.
    """
    order = random.Random(seed)
    arrivals: list[float] = []
    now = order.expovariate(rate)
    while now < duration_s:
        arrivals.append(now)
        now += order.expovariate(rate)
    return arrivals

"""How long the rest of the lab takes: the remaining stages laid out on the jobs."""

import heapq
from collections.abc import Mapping, Sequence

from qstar_lab.stage import Stage


def seconds_left(
    stages: Sequence[Stage], remaining: Mapping[str, float], *, num_jobs: int
) -> float:
    """Time until the last stage ends, if each starts as soon as it can.

    Args:
        stages: all of the lab, each behind those that it needs.
        remaining: seconds that each unfinished stage still needs, the running ones included.
        num_jobs: stages that run at once.
    """
    free = [0.0] * num_jobs
    ends: dict[str, float] = {}
    for stage in stages:
        if stage.name not in remaining:
            ends[stage.name] = 0.0
            continue
        ready = max((ends[name] for name in stage.needs), default=0.0)
        begin = max(ready, max(free) if stage.runs_alone else heapq.heappop(free))
        ends[stage.name] = begin + remaining[stage.name]
        if stage.runs_alone:
            free = [ends[stage.name]] * num_jobs
        else:
            heapq.heappush(free, ends[stage.name])
    return max(ends.values(), default=0.0)


def duration_text(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `1 h 05 min`."""
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

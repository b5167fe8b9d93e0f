"""Times several ways to decode, taking turns. Independent of the model."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Prompts = Sequence[list[int]]
"""Token ids of each prompt of a batch."""
Decode = Callable[[Prompts], list[list[int]]]
"""Continues each prompt of a batch and returns the new token ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One timed call."""

    num_tokens: int
    seconds: float
    outputs: list[list[int]] = field(default_factory=list)
    """New token ids of each prompt."""


Way = Callable[[Prompts], Sample]
"""Does one timed call for a batch of prompts."""


@dataclass(slots=True, kw_only=True)
class Timing:
    """The results of one way."""

    tok_s: list[float] = field(default_factory=list)
    """Tokens per second of each repeat: tokens of all calls over the time of all calls."""
    outputs: list[list[int]] = field(default_factory=list)
    """New token ids of each prompt in the last repeat, in order."""

    @property
    def median_tok_s(self) -> float:
        return statistics.median(self.tok_s)


def timed(decode: Decode) -> Way:
    """A way that times whole calls, from the prompts to the last token."""

    def call(prompts: Prompts) -> Sample:
        started = time.perf_counter()
        outputs = decode(prompts)
        seconds = time.perf_counter() - started
        return Sample(num_tokens=sum(map(len, outputs)), seconds=seconds, outputs=outputs)

    return call


def take_turns(
    ways: Mapping[str, Way],
    batches: Sequence[Prompts],
    *,
    repeats: int,
    on_call: Callable[[], None] = lambda: None,
) -> dict[str, Timing]:
    """Time calls, one at a time.

    The ways take turns on each batch, so that a change of the machine's speed during the run
    affects all of them alike.

    Args:
        ways: in the order of their turns.
        repeats: rounds over all batches, at least 1.
        on_call: called after each call.
    """
    timings = {name: Timing() for name in ways}
    for _ in range(repeats):
        samples: dict[str, list[Sample]] = {name: [] for name in ways}
        for prompts in batches:
            for name, way in ways.items():
                samples[name].append(way(prompts))
                on_call()
        for name, timing in timings.items():
            of_round = samples[name]
            seconds = sum(sample.seconds for sample in of_round)
            timing.tok_s.append(sum(sample.num_tokens for sample in of_round) / seconds)
            timing.outputs = [ids for sample in of_round for ids in sample.outputs]
    return timings


def fastest(ways: Mapping[str, Way], prompts: Prompts, *, repeats: int = 2) -> dict[str, float]:
    """Try ways on one batch after a call to warm up; tokens/s by name, the fastest first."""
    if len(ways) > 1:
        take_turns(ways, [prompts], repeats=1)
    timings = take_turns(ways, [prompts], repeats=repeats)
    rates = {name: timing.median_tok_s for name, timing in timings.items()}
    return dict(sorted(rates.items(), key=lambda item: -item[1]))


def share_equal(left: Sequence[list[int]], right: Sequence[list[int]]) -> float:
    """Share of outputs that are the same in every token."""
    pairs = list(zip(left, right, strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)

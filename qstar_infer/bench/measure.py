"""Times several ways to decode the same prompts, side by side. Knows no model."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Decoder = Callable[[list[int]], list[int]]
"""Continues prompt token ids greedily by a fixed number of tokens; returns the new ids."""


@dataclass(slots=True, kw_only=True)
class Timing:
    """What one decoder did over all repeats."""

    tok_s: list[float] = field(default_factory=list)
    """New tokens a second, one entry a repeat: all prompts' tokens over all calls' time."""
    outputs: list[list[int]] = field(default_factory=list)
    """New token ids of each call of the last repeat, in the order of the prompts."""

    @property
    def median_tok_s(self) -> float:
        return statistics.median(self.tok_s)


def measure(
    decoders: Mapping[str, Decoder],
    prompts: Sequence[list[int]],
    *,
    repeats: int,
    on_call: Callable[[int], None] = lambda _done: None,
) -> dict[str, Timing]:
    """Time whole calls, prompt in and all tokens out, one at a time.

    The decoders take turns on each prompt, so that a machine that slows down or speeds up during
    the run does so for all of them.

    Args:
        decoders: in the order of their turns.
        prompts: token ids of each prompt.
        repeats: rounds over all prompts, at least 1.
        on_call: called after each call with the number of calls so far.
    """
    timings = {name: Timing() for name in decoders}
    num_done = 0
    for _ in range(repeats):
        seconds = dict.fromkeys(decoders, 0.0)
        for timing in timings.values():
            timing.outputs = []
        for prompt in prompts:
            for name, decode in decoders.items():
                started = time.perf_counter()
                new_ids = decode(prompt)
                seconds[name] += time.perf_counter() - started
                timings[name].outputs.append(new_ids)
                num_done += 1
                on_call(num_done)
        for name, timing in timings.items():
            num_tokens = sum(len(new_ids) for new_ids in timing.outputs)
            timing.tok_s.append(num_tokens / seconds[name])
    return timings


def share_equal(left: Sequence[list[int]], right: Sequence[list[int]]) -> float:
    """Share of calls whose outputs are the same in every token."""
    pairs = list(zip(left, right, strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)

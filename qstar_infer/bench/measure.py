"""Times several decoders on the same prompts, interleaved. Independent of the model."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Decoder = Callable[[list[int]], list[int]]
"""Continues prompt token ids greedily by a fixed number of tokens and returns the new ids."""


@dataclass(slots=True, kw_only=True)
class Timing:
    """The results of one decoder."""

    tok_s: list[float] = field(default_factory=list)
    """New tokens per second of each repeat: tokens of all prompts over the time of all calls."""
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
    """Time whole calls, one at a time.

    The decoders take turns on each prompt, so that a change of the machine's speed during the run
    affects all of them alike.

    Args:
        decoders: in the order of their turns.
        prompts: token ids of each prompt.
        repeats: rounds over all prompts, at least 1.
        on_call: called after each call with the number of calls done.
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

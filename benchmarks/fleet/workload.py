"""What a fleet is asked to do: when requests arrive, their lengths, and how drafts agree."""

import math
import random
from dataclasses import dataclass

from qstar_infer.bench.serve.arrivals import poisson_arrivals


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of numbers of tokens."""

    mean: float
    variation: float = 0.0
    """Standard deviation divided by the mean; 0: all are alike."""

    def draw(self, source: random.Random) -> int:
        """A number of at least 1, and at most ten times the mean."""
        if self.variation == 0:
            return max(1, round(self.mean))
        variance = math.log1p(self.variation**2)
        value = source.lognormvariate(math.log(self.mean) - variance / 2, math.sqrt(variance))
        return max(1, round(min(value, 10 * self.mean)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: when it arrives, in seconds from the start, and its tokens."""

    arrival_s: float
    num_prompt_tokens: int
    num_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """An open loop: requests arrive whether or not earlier ones have ended."""

    rate: float
    """Requests per second, on average."""
    duration_s: float
    """Time in which requests arrive; the last ones end later."""
    prompt_tokens: Lengths
    output_tokens: Lengths
    num_thought_tokens: int
    """Thought length of each token; 0: the model does not think."""
    agreement: float
    """Share of right drafts, between 0 and 1."""
    burst: int = 1
    """Number of requests that arrive together. 1: a Poisson process."""
    seed: int = 0

    def requests(self) -> list[Request]:
        """All requests, in the order of arrival. With bursts of 1 they arrive when those of
        `qstar bench serve` with this seed do."""
        source = random.Random(self.seed)
        times = poisson_arrivals(self.rate / self.burst, self.duration_s, seed=self.seed)
        return [
            Request(
                arrival_s=time_s,
                num_prompt_tokens=self.prompt_tokens.draw(source),
                num_output_tokens=self.output_tokens.draw(source),
            )
            for time_s in times
            for _ in range(self.burst)
        ]

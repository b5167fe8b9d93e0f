"""Thoughts about prompt tokens, whose log-probabilities `prompt_logprobs` requests."""

from collections import deque
from collections.abc import Iterator

from qstar_infer.step import SampledToken
from qstar_infer.wavefront.lane import Lane


class PromptScoring:
    """Scores the prompt tokens 1, 2, ... of one sequence, in order.

    Attributes:
        lanes: thoughts in flight, oldest first.
        scores: one for each token scored so far. A preemption keeps them.
        num_thought_tokens: thought tokens spent on `scores`.
    """

    def __init__(self, num_prompt_tokens: int) -> None:
        self._num_wanted = num_prompt_tokens - 1  # the first token has no prefix
        self.lanes: deque[Lane] = deque()
        self.scores: list[SampledToken] = []
        self.num_thought_tokens = 0

    @property
    def is_complete(self) -> bool:
        return len(self.scores) == self._num_wanted

    def needs(self, anchor: int) -> bool:
        """Whether the prompt token after this anchor still needs a score."""
        return len(self.scores) <= anchor < self._num_wanted

    def settle(self) -> Iterator[Lane]:
        """Move the decisions of decided lanes to `scores`, in order, and yield these lanes."""
        while self.lanes and self.lanes[0].decision is not None:
            lane = self.lanes.popleft()
            assert lane.decision is not None
            self.scores.append(lane.decision)
            self.num_thought_tokens += len(lane.thought)
            yield lane

    def forget_in_flight(self) -> list[Lane]:
        """Drop the lanes in flight and return them."""
        dropped = list(self.lanes)
        self.lanes.clear()
        return dropped

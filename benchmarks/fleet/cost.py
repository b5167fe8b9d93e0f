"""How long a step takes. The simulator knows nothing else of model and machine."""

from dataclasses import dataclass
from typing import Protocol

from qstar_infer.step import StepBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSize:
    """What the time of a step depends on."""

    rows: int
    logit_rows: int
    """Rows whose logits are computed, and sampled from. Those of a prompt have none but the last."""
    row_context: int
    """Sum over the rows of the slots that each attends to: what a kernel computes that attends row
    by row."""
    sequence_context: int
    """Sum over the sequences of their longest context: what must be read at least."""

    @classmethod
    def of(cls, batch: StepBatch) -> "StepSize":
        first = sequence_context = 0
        for each in batch.sequences:
            last = first + each.num_rows
            sequence_context += max(batch.context_lens[first:last])
            first = last
        return cls(
            rows=batch.num_rows,
            logit_rows=len(batch.base_picks) + len(batch.thought_picks) + len(batch.target_picks),
            row_context=sum(batch.context_lens) + sum(batch.lane_lens),
            sequence_context=sequence_context,
        )


class StepTime(Protocol):
    """Gives the time of a step."""

    def seconds(self, step: StepSize) -> float:
        """From the plan of the step to its recorded results."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontTime:
    """Time of the server's process for HTTP, on the core that the engine's Python needs too."""

    request_s: float = 0.0
    """For a request: connection, body, checks, tokens, end of the response."""
    delta_s: float = 0.0
    """For an event of a stream."""


@dataclass(frozen=True, slots=True)
class ConstantTime:
    """Each step takes the same time: a machine on which rows are free."""

    step_s: float

    def seconds(self, step: StepSize) -> float:
        del step
        return self.step_s

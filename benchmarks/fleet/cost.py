"""How long a step takes. The simulator knows nothing else of model and machine."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from qstar_infer.step import StepBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSize:
    """What the time of a step depends on."""

    rows: int
    sequences: int
    logit_rows: int
    """Rows that a token is sampled from. Of a prompt it is the last one only."""
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
            sequences=len(batch.sequences),
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTime:
    """Time that Python needs to plan a step and to record its results."""

    step_ms: float = 0.0
    row_ms: float = 0.0
    pair_ms: float = 0.0
    """For each pair of sequences: the scheduler counts all drafts in flight for each of them."""

    def ms(self, step: StepSize) -> float:
        return self.step_ms + self.row_ms * step.rows + self.pair_ms * step.sequences**2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ConstantTime:
    """Each step takes the same time: a machine on which rows are free."""

    step_s: float

    def seconds(self, step: StepSize) -> float:
        del step
        return self.step_s

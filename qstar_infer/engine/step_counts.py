"""What an engine has done since it started, counted as it happens. No tensors."""

from qstar_infer.histogram import Histogram
from qstar_infer.step import SampledToken
from qstar_infer.wavefront.lane import Lane
from qstar_infer.wavefront.sequence import Sequence

_STEP_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_STEP_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
_MIXING_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PASSES_PER_TOKEN = (
    0.5,
    0.75,
    1.0,
    1.25,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    6.0,
    8.0,
    12.0,
    16.0,
    32.0,
    64.0,
)


class StepCounts:
    """Written on the engine's thread; any thread may read.

    Attributes:
        step_rows: rows of each step.
        step_seconds: time of each step, from its plan to its recorded results.
        mixing_weights: mixing weight of each verified token that had a thought.
        passes_per_token: of each finished completion: passes that it took part in since its
            prompt was computed, divided by its tokens.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.rows = 0
        self.tokens = 0
        self.thought_tokens = 0
        self.step_rows = Histogram(_STEP_ROWS)
        self.step_seconds = Histogram(_STEP_SECONDS)
        self.mixing_weights = Histogram(_MIXING_WEIGHTS)
        self.passes_per_token = Histogram(_PASSES_PER_TOKEN)

    def note_step(self, num_rows: int, seconds: float) -> None:
        """Count a step whose results are recorded."""
        self.step_rows.add(num_rows)
        self.step_seconds.add(seconds)

    def note_sequence_step(self, num_rows: int) -> None:
        """Count a sequence's part in a step, before its results are recorded."""
        self.rows += num_rows

    def note_token(self, lane: Lane, decision: SampledToken) -> None:
        """Count a verified token and its thought."""
        self.tokens += 1
        if lane.thought:
            self.thought_tokens += len(lane.thought)
            self.mixing_weights.add(decision.mixing_weight)

    def note_end(self, seq: Sequence) -> None:
        """Count a completion that has ended by itself."""
        if seq.num_output_tokens:
            self.passes_per_token.add(seq.num_passes / seq.num_output_tokens)

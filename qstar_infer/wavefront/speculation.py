"""Decides how far drafts run ahead of the verified text, from measured costs and agreement.

A draft costs a row in every pass of its thought, and saves passes if it is right. So a row has a
price: a sequence drafts further while its speed, in tokens per pass, grows by enough for the rows.
One price holds for all sequences of a step, because they share its time. Of all prices, the one
with the greatest speed in tokens per second is taken, as the geometric mean over the sequences:
none is slowed down much for a small gain of another.
"""

import math
from collections import Counter
from collections.abc import Iterable

from qstar_infer.wavefront.agreement import Agreement
from qstar_infer.wavefront.depth_yield import Deepening, deepenings, depth_yield
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.step_cost import StepCost

_STEPS_BETWEEN_DECISIONS = 8
_DECISIONS_BETWEEN_TRIALS = 32
_LEAST_GAIN = 1.02
"""A price is kept until another one promises this much more speed, so that noise changes little."""
_LEAST_WRONG = 1 / 64
_FIRST_AGREEMENT = 0.9


class SpeculationDepth:
    """Computes each sequence's draft depth. The depth changes the speed, never the result."""

    def __init__(self, fixed: int | None) -> None:
        """
        Args:
            fixed: the depth of all sequences; None: decide.
        """
        self._fixed = fixed
        self._cost = StepCost()
        self._agreement = Agreement()
        """Of all sequences."""
        self._price = 0.0
        """The growth of a sequence's log speed that a row must bring. 0: draft as far as it can."""
        self._trial_price: float | None = None
        """In force until the next decision, to measure what is not used otherwise."""
        self._num_decisions = 0
        self._steps_left = 0
        self._decided_for: list[tuple[int, bool]] = []

    def of(self, seq: Sequence) -> int:
        """Most unverified tokens that a sequence may feed; at most its thought length.

        Where a rule says at which tokens a sequence thinks, most drafts are one row and no more
        than that token needs anyway. So they always run ahead.
        """
        length = seq.num_thought_tokens
        if self._fixed is not None:
            return min(self._fixed, length)
        if not seq.thinks_everywhere:
            return length
        price = self._price if self._trial_price is None else self._trial_price
        return _depth_at(price, deepenings(length, self._agreement_of(seq)))

    def prepare(self, decoding: Iterable[Sequence]) -> None:
        """Decide anew if it is time to, or if other sequences decode than before."""
        if self._fixed is not None:
            return
        sequences = list(decoding)
        mix = [(seq.num_thought_tokens, seq.thinks_everywhere) for seq in sequences]
        self._steps_left -= 1
        if mix != self._decided_for or self._steps_left <= 0:
            self._steps_left = _STEPS_BETWEEN_DECISIONS
            self._decided_for = mix
            self._decide(sequences)

    def note_decision(self, seq: Sequence, *, is_draft_kept: bool) -> None:
        """Count a thought's decision: whether the draft, fed or not, was right."""
        seq.agreement.note(is_draft_kept)
        self._agreement.note(is_draft_kept)

    def note_step(self, num_rows: int, seconds: float) -> None:
        """Learn from the time of a step that only decoded."""
        self._cost.observe(num_rows, seconds)

    def _decide(self, sequences: list[Sequence]) -> None:
        """Set the price with the greatest speed, and from time to time try one next to it."""
        speeds = list(self._log_speeds(sequences))
        best = max(range(len(speeds)), key=lambda place: speeds[place][1])
        current = max(place for place, (price, _) in enumerate(speeds) if price >= self._price)
        if speeds[best][1] > speeds[current][1] + math.log(_LEAST_GAIN):
            current = best
            self._price = speeds[best][0] if best < len(speeds) - 1 else 0.0
        self._num_decisions += 1
        self._trial_price = None
        if self._num_decisions % _DECISIONS_BETWEEN_TRIALS == 0:
            is_deeper = self._num_decisions // _DECISIONS_BETWEEN_TRIALS % 2 == 1
            trial = current + (1 if is_deeper else -1)
            if 0 <= trial < len(speeds):
                self._trial_price = speeds[trial][0]

    def _log_speeds(self, sequences: list[Sequence]) -> Iterable[tuple[float, float]]:
        """Prices from infinite to the lowest that matters, and the log speed at each.

        The log speed is a mean over the sequences, up to a constant.
        """
        alike = Counter(
            (seq.num_thought_tokens, self._agreement_of(seq))
            for seq in sequences
            if seq.thinks_everywhere
        )
        num_rows = float(sum(_num_rows_now(s) for s in sequences if not s.thinks_everywhere))
        deeper: list[tuple[Deepening, int]] = []
        for (length, agreement), count in alike.items():
            num_rows += count * depth_yield(length, 0, agreement).rows_per_pass
            deeper += [(step, count) for step in deepenings(length, agreement)]
        log_speed = 0.0
        yield math.inf, -math.log(self._cost.seconds(num_rows))
        for step, count in sorted(deeper, key=lambda item: -item[0].worth):
            log_speed += step.log_speed * count / len(sequences)
            num_rows += step.rows * count
            yield step.worth, log_speed - math.log(self._cost.seconds(num_rows))

    def _agreement_of(self, seq: Sequence) -> float:
        """Expected share of right drafts, on a grid: few values, and few changes by chance."""
        overall = self._agreement.share(_FIRST_AGREEMENT)
        wrong = max(_LEAST_WRONG, 1 - seq.agreement.share(overall))
        return float(1 - 2 ** (round(2 * math.log2(wrong)) / 2))


def _num_rows_now(seq: Sequence) -> int:
    """Rows of a step for a sequence that does not think everywhere, about."""
    return 1 + sum(lane.decision is None for lane in seq.wavefront.lanes)


def _depth_at(price: float, steps: Iterable[Deepening]) -> int:
    """The depth that is best if a row costs this many tokens."""
    return max((step.depth for step in steps if step.worth >= price), default=0)

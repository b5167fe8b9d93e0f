"""A model without tensors: each token is a hash of the tokens that its row sees.

`FakeModel` runs a `StepBatch` on a memory of slots. Block tables, `context_len` and `lane_len`
decide what a row sees, so a wrong slot, a stale block or a lost row gives other tokens than
`by_definition`, which uses no cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from zlib import crc32

from qstar_infer.step import END, NO_LANE, START, SampledToken, StepBatch, StepResult, VisiblePick
from qstar_infer.thinking_rule import ThinkingPlaces

VOCAB_SIZE = 50
AGREEMENT = 0.7
"""Share of the thoughts whose target equals the draft."""

EVERYWHERE = ThinkingPlaces()
EASY = 0.8
"""Share of the texts after which the draft depends on their length alone."""
OPEN = 0.3
"""Share of the texts after which the gate says to think."""

Tokens = tuple[int, ...]


def share(*parts: object) -> float:
    """A pseudo-random number in [0, 1), computed from the arguments."""
    return crc32(repr(parts).encode()) / 2**32


def draft(text: Tokens, seed: int) -> SampledToken:
    """The token after a text, without a thought.

    Often it depends on the length of the text alone, so that what follows a wrong draft may be
    right.
    """
    seen: object = len(text) if share("easy", text, seed) < EASY else text
    token_id = int(share("draft", seen, seed) * VOCAB_SIZE)
    top_logprob = math.log(1 - share("confidence", text, seed))
    logprob = -share("logprob", text, token_id)
    return SampledToken(token_id=token_id, logprob=logprob, top_logprob=top_logprob)


def opens_gate(text: Tokens) -> bool:
    """Whether the gate says to think after a text."""
    return share("gate", text) < OPEN


def thinks_after(text: Tokens, places: ThinkingPlaces) -> bool:
    return places.may_think_at(text[-1]) and (not places.asks_gate or opens_gate(text))


def thought_token(text: Tokens, thought: Tokens, seed: int) -> int:
    return int(share("thought", text, thought, seed) * VOCAB_SIZE)


def target(text: Tokens, thought: Tokens, seed: int) -> SampledToken:
    """The token after a text, with a thought."""
    token_id = draft(text, seed).token_id
    if share("agreement", text, thought, seed) >= AGREEMENT:
        token_id = int(share("target", text, thought, seed) * VOCAB_SIZE)
    return SampledToken(token_id=token_id, logprob=-share("logprob", text, thought, token_id))


def score(text: Tokens, thought: Tokens, known_id: int) -> SampledToken:
    """The score of a known token after a text, with a thought."""
    return SampledToken(token_id=known_id, logprob=-share("score", text, thought, known_id))


@dataclass(kw_only=True)
class Expected:
    """The expected output of a request, for every schedule."""

    token_ids: list[int] = field(default_factory=list)
    thoughts: list[Tokens] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    is_faulty: bool = False
    """Ended by a decision or score that a broken token affects."""


def by_definition(
    prompt: Sequence[int],
    *,
    seed: int,
    num_thought_tokens: int,
    max_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
    scores_prompt: bool = False,
    places: ThinkingPlaces = EVERYWHERE,
    broken_ids: frozenset[int] = frozenset(),
) -> Expected:
    """Compute the expected output without drafts, one token after the other.

    Args:
        broken_ids: tokens whose keys and values are not finite.
    """
    text = tuple(prompt)
    expected = Expected()

    def think(text: Tokens) -> Tokens:
        length = num_thought_tokens if thinks_after(text, places) else 0
        return thought_of(text, length, seed)

    for end in range(1, len(text) if scores_prompt else 0):
        thought = think(text[:end])
        if broken_ids & {*text[:end], *thought}:
            expected.is_faulty = True
            return expected
        expected.scores.append(score(text[:end], thought, text[end]).logprob)
    while len(expected.token_ids) < max_tokens:
        thought = think(text)
        if broken_ids & {*text, *thought}:
            expected.is_faulty = True
            break
        decision = target(text, thought, seed) if thought else draft(text, seed)
        expected.token_ids.append(decision.token_id)
        expected.logprobs.append(decision.logprob)
        expected.thoughts.append(thought)
        text += (decision.token_id,)
        if decision.token_id in stop_ids:
            break
    return expected


def thought_of(text: Tokens, num_thought_tokens: int, seed: int) -> Tokens:
    thought: Tokens = ()
    for _ in range(num_thought_tokens):
        thought += (thought_token(text, thought, seed),)
    return thought


class FakeModel:
    """Runs steps on a memory of slots."""

    def __init__(self, broken_ids: frozenset[int] = frozenset()) -> None:
        self._broken_ids = broken_ids
        self._memory: dict[int, tuple[int, int]] = {}
        """Token and position in each slot."""
        self._buffers: dict[int, Tokens] = {}
        """The text up to the anchor, by slot of the lane buffers."""

    def run(self, batch: StepBatch) -> StepResult:
        written = zip(batch.token_ids, batch.positions, strict=True)
        assert len(set(batch.slots)) == batch.num_rows, "two rows write to one slot"
        self._memory.update(zip(batch.slots, written, strict=True))
        seen = self._read(batch)
        base_tokens = [self._base(pick, *seen[pick.row]) for pick in batch.base_picks]
        thoughts = []
        for pick in batch.thought_picks:
            text, lane = seen[pick.row]
            assert (lane[0], pick.position) == (START, len(text))
            assert pick.stream_index == len(lane)
            thoughts.append(thought_token(text, lane[1:], pick.seed))
        return StepResult(
            base_tokens=base_tokens,
            thought_token_ids=thoughts,
            target_tokens=[self._target(pick, *seen[pick.row]) for pick in batch.target_picks],
            broken_rows=[
                row for row, token_id in enumerate(batch.token_ids) if token_id in self._broken_ids
            ],
        )

    def _base(self, pick: VisiblePick, text: Tokens, lane: Tokens) -> SampledToken:
        assert lane == ()
        assert pick.position == len(text)
        assert pick.history in ([], list(text))
        if pick.lane_slot is not None:
            self._buffers[pick.lane_slot] = text
        token = draft(text, pick.seed)
        if pick.known_id is not None:
            token = score(text, (), pick.known_id)
        token.thinks = not pick.asks_gate or opens_gate(text)
        return token

    def _target(self, pick: VisiblePick, text: Tokens, lane: Tokens) -> SampledToken:
        assert pick.lane_slot is not None
        assert self._buffers[pick.lane_slot] == text, "the lane's buffer holds another anchor"
        assert (lane[0], lane[-1], pick.position) == (START, END, len(text))
        assert pick.history in ([], list(text))
        if pick.known_id is None:
            return target(text, lane[1:-1], pick.seed)
        return score(text, lane[1:-1], pick.known_id)

    def _read(self, batch: StepBatch) -> list[tuple[Tokens, Tokens]]:
        """For each row: the text and the lane tokens that it sees."""
        seen = []
        rows = iter(range(batch.num_rows))
        for sequence in batch.sequences:
            for row in islice(rows, sequence.num_rows):
                lane = batch.row_lanes[row]
                lane_table = [] if lane == NO_LANE else sequence.lane_tables[lane]
                context_len = batch.context_lens[row]
                text = self._at(sequence.block_table, context_len, 0, batch.block_size)
                thought = self._at(lane_table, batch.lane_lens[row], context_len, batch.block_size)
                assert self._memory[batch.slots[row]][0] == [*text, *thought][-1]
                seen.append((text, thought))
        assert len(seen) == batch.num_rows
        return seen

    def _at(self, table: list[int], length: int, begin: int, block_size: int) -> Tokens:
        """The first tokens of a block table; asserts that their positions start at `begin`."""
        tokens = []
        for index in range(length):
            slot = table[index // block_size] * block_size + index % block_size
            token_id, position = self._memory[slot]
            assert position == begin + index, "a row sees a token at another position"
            tokens.append(token_id)
        return tuple(tokens)

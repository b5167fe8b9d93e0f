"""The ways of thinking of one checkpoint, and their names."""

from collections.abc import Iterator, Sequence

from qstar_eval.checkpoints import CheckpointFacts
from qstar_eval.scoring import Thinking, ThoughtKind

NO_THOUGHTS = "none"
"""How reports call the kind of a thought of length 0."""


def variants(
    facts: CheckpointFacts,
    *,
    thought_lengths: Sequence[int | None],
    thoughts: Sequence[ThoughtKind],
    temperature: float,
) -> list[Thinking]:
    """Every length with every kind, each once; no thoughts are the same of either kind.

    Args:
        thought_lengths: None is as trained. A model that cannot think has length 0 alone.
    """
    found: dict[str, Thinking] = {}
    for length in _lengths(facts, thought_lengths):
        for kind in thoughts if length else thoughts[:1]:
            thinking = Thinking(
                num_thought_tokens=length,
                kind=kind if length else "sampled",
                temperature=temperature,
            )
            found.setdefault(variant_name(thinking), thinking)
    return list(found.values())


def variant_name(thinking: Thinking) -> str:
    """`0`, `5-sampled`, `5-random`: unique among the variants of a checkpoint."""
    length = thinking.num_thought_tokens
    return f"{length}-{thinking.kind}" if length else "0"


def kind_name(thinking: Thinking) -> str:
    """`sampled`, `random` or `none`."""
    return thinking.kind if thinking.num_thought_tokens else NO_THOUGHTS


def _lengths(facts: CheckpointFacts, asked: Sequence[int | None]) -> Iterator[int]:
    if not facts.can_think:
        yield 0
        return
    for length in asked:
        yield facts.num_thought_tokens if length is None else length

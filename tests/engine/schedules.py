"""Sequences and configs for the tests of the scheduler."""

import random
from typing import Any

from qstar_infer.config import EngineConfig
from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.wavefront.rows import StepPlan
from qstar_infer.wavefront.sequence import Sequence

from .fake_model import VOCAB_SIZE
from .step_driver import make_sequence

PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
BEHIND = ThinkingPlaces(behind_ids=frozenset(range(0, VOCAB_SIZE, 4)))
GATE = ThinkingPlaces(asks_gate=True)


def fed(plan: StepPlan, seq: Sequence) -> list[int]:
    """Indices of the tokens that a step feeds for a sequence."""
    return [index for step in plan.sequences if step.seq is seq for index in step.fed]


def sequences(count: int, **fields: Any) -> list[Sequence]:
    """Sequences with ten prompt tokens and different seeds."""
    return [make_sequence(PROMPT, name=f"r{i}", seed=i, **fields) for i in range(count)]


def draw_config(draw: random.Random) -> EngineConfig:
    return EngineConfig(
        speculation=draw.choice(["auto", "off", 1, 2, 9]),
        block_size=draw.choice([1, 2, 4, 16]),
        max_rows=draw.choice([1, 5, 100]),
        max_num_seqs=draw.choice([1, 3, 8]),
        scoring_positions=draw.choice([1, 3, 32]),
        max_drafts=draw.choice([1, 8, 64]),
        prefix_caching=draw.random() < 0.8,
    )

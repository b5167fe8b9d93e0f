"""Random schedules give the tokens of the definition; no tensors."""

import math
import random

import pytest

from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.wavefront.sequence import Sequence, SequenceStatus

from .fake_model import EVERYWHERE, VOCAB_SIZE, Expected
from .schedules import BEHIND, GATE, draw_config
from .step_driver import Driver, definition_of, make_sequence

LONGEST_PROMPT = 20
MOST_TOKENS = 12
LONGEST_THOUGHT = 4
PLACES = (EVERYWHERE, BEHIND, GATE)


def draw_prompt(draw: random.Random) -> list[int]:
    """Often a prompt that others begin with too."""
    length = draw.randint(1, LONGEST_PROMPT)
    shared = draw.choice([0, length - 1, length])
    return [*range(shared), *(draw.randrange(VOCAB_SIZE) for _ in range(length - shared))]


def draw_sequences(draw: random.Random) -> list[Sequence]:
    return [
        make_sequence(
            draw_prompt(draw),
            name=f"r{i}",
            num_thought_tokens=draw.choice([0, 1, 2, LONGEST_THOUGHT]),
            max_tokens=draw.randint(1, MOST_TOKENS),
            seed=i,
            eos_token_ids=draw.choice([frozenset(), frozenset({7, 8})]),
            scores_prompt=draw.random() < 0.3,
            places=draw.choice(PLACES),
            priority=draw.choice([0, 0, 0, -1, 1]),
            salt=draw.choice(["", "", "", "a"]),
        )
        for i in range(draw.randint(1, 8))
    ]


def blocks(num_slots: int, config: EngineConfig) -> int:
    return math.ceil(num_slots / config.block_size)


def run_mix(draw: random.Random, config: EngineConfig) -> tuple[Driver, dict[str, Expected]]:
    """Add and drop sequences at random; returns the outputs of those that finish."""
    # From just enough blocks for the largest sequence to enough for all.
    num_blocks = blocks(LONGEST_PROMPT + MOST_TOKENS, config) + blocks(LONGEST_THOUGHT + 2, config)
    driver = Driver(
        config,
        num_blocks=num_blocks + draw.choice([0, 3, 60]),
        prefill_rows=draw.choice([None, 1, 4]),
    )
    arriving = draw_sequences(draw)
    dropped: set[Sequence] = set()
    for _ in range(3000):
        while arriving and draw.random() < 0.5:
            driver.add(arriving.pop())
        if driver.got and draw.random() < 0.02:
            seq = draw.choice(list(driver.got))
            if seq.status is not SequenceStatus.FINISHED:
                dropped.add(seq)
                driver.scheduler.finish(seq)
        driver.step()
        if not arriving and not driver.scheduler.has_work:
            break
    driver.scheduler.check_idle()
    for seq in dropped:
        whole = definition_of(seq).token_ids
        assert driver.got[seq].token_ids == whole[: len(driver.got[seq].token_ids)]
    done = [seq for seq in driver.got if seq not in dropped]
    for seq in done:
        assert driver.got[seq] == definition_of(seq)
    return driver, {seq.request_id: driver.got[seq] for seq in done}


@pytest.mark.parametrize("seed", range(60))
def test_every_schedule_gives_the_tokens_of_the_definition(seed: int) -> None:
    draw = random.Random(seed)
    run_mix(draw, draw_config(draw))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("speculation", ["auto", 3])
def test_decoding_without_drafts_gives_the_same_tokens(seed: int, speculation: Speculation) -> None:
    requests = draw_sequences(random.Random(seed)), draw_sequences(random.Random(seed))
    drivers = [Driver(EngineConfig(speculation=depth)) for depth in (speculation, "off")]
    for driver, each in zip(drivers, requests, strict=True):
        driver.add(*each)
        driver.run()
    drafting, waiting = (list(driver.got.values()) for driver in drivers)
    assert drafting == waiting


def test_the_schedules_reject_drafts_and_preempt() -> None:
    """Otherwise the test above would prove little."""
    drivers = []
    for seed in range(30):
        draw = random.Random(seed)
        drivers.append(run_mix(draw, draw_config(draw))[0])
    schedulers = [driver.scheduler for driver in drivers]
    assert sum(scheduler.num_rejected for scheduler in schedulers) > 20
    assert sum(scheduler.num_accepted for scheduler in schedulers) > 20
    assert sum(scheduler.num_preemptions for scheduler in schedulers) > 5
    memories = [scheduler.memory for scheduler in schedulers]
    assert sum(memory.num_found for memory in memories) > 20
    assert sum(memory.num_recomputed for memory in memories) > 10

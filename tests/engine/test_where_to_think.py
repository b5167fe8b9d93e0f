"""What the scheduler plans where a rule says at which tokens to think; no tensors."""

import random

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.thinking_rule import ThinkingPlaces
from qstar_infer.wavefront.sequence import Sequence

from .schedules import BEHIND, GATE, PROMPT, draw_config, fed
from .step_driver import Driver, definition_of, make_sequence


def num_thinking(seq: Sequence) -> int:
    """Number of tokens that are thought about, by the definition."""
    return sum(map(bool, definition_of(seq).thoughts))


@pytest.mark.parametrize("places", [BEHIND, GATE])
def test_no_row_is_spent_where_the_rule_does_not_think(places: ThinkingPlaces) -> None:
    driver = Driver(EngineConfig(speculation="off"))
    seq = make_sequence(PROMPT, num_thought_tokens=3, max_tokens=40, places=places)
    driver.add(seq)
    plans = driver.run()
    assert driver.got[seq] == definition_of(seq)
    assert 0 < num_thinking(seq) < 30
    num_text_rows = len(PROMPT) + 39
    assert sum(plan.batch.num_rows for plan in plans) == num_text_rows + 5 * num_thinking(seq)


@pytest.mark.parametrize(("places", "num_passes"), [(BEHIND, 3), (GATE, 4)])
def test_without_drafts_a_thought_takes_its_passes(places: ThinkingPlaces, num_passes: int) -> None:
    """The pass of the anchor is that of its token; a gate needs one more."""
    driver = Driver(EngineConfig(speculation="off"))
    seq = make_sequence(PROMPT, num_thought_tokens=3, max_tokens=40, places=places)
    driver.add(seq)
    assert len(driver.run()) == 40 + num_passes * num_thinking(seq)


@pytest.mark.parametrize("places", [BEHIND, GATE])
def test_guesses_save_passes_after_a_wrong_draft(places: ThinkingPlaces) -> None:
    """Most of the text after a wrong draft stays the same, and needs no passes of its own."""
    driver = Driver(EngineConfig())
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=200, places=places)
    driver.add(seq)
    plans = driver.run()
    assert driver.got[seq] == definition_of(seq)
    assert driver.scheduler.num_rejected > 5
    # 4 of 5 tokens do not depend on the text before them.
    assert any(len(fed(plan, seq)) > 2 for plan in plans[1:])
    with_waiting = 200 + num_thinking(seq) * (4 if places is BEHIND else 5)
    assert len(plans) < 0.9 * with_waiting


def test_where_a_model_thinks_everywhere_nothing_is_guessed() -> None:
    """A guess after a token that is thought about would most likely wait for its thought."""
    driver = Driver(EngineConfig())
    seq = make_sequence(PROMPT, num_thought_tokens=4, max_tokens=60)
    driver.add(seq)
    assert all(len(fed(plan, seq)) <= 1 for plan in driver.run()[1:])


def test_the_rules_give_the_tokens_of_the_definition_and_guess() -> None:
    """Otherwise the random schedules would prove little about rules."""
    num_guessed = 0
    for seed in range(20):
        draw = random.Random(seed)
        driver = Driver(draw_config(draw))
        chosen = [
            make_sequence(
                PROMPT,
                name=str(i),
                seed=i,
                num_thought_tokens=3,
                max_tokens=30,
                places=draw.choice([BEHIND, GATE]),
            )
            for i in range(4)
        ]
        driver.add(*chosen)
        for plan in driver.run():
            num_guessed += sum(
                max(0, len(step.fed) - 1) for step in plan.sequences if step.fed.start >= 10
            )
        for seq in chosen:
            assert driver.got[seq] == definition_of(seq)
    assert num_guessed > 50

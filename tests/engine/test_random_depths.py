"""The depth changes the speed, never the result: depths that are random, or learned."""

import random

import pytest

from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.speculation import SpeculationDepth

from ..parity.toy import make_toy
from .step_driver import Driver, definition_of, make_sequence
from .test_random_schedules import draw_sequences


@pytest.fixture
def depths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The depths drawn so far, 0 to the thought length, for each sequence and step."""
    drawn: list[int] = []
    draw = random.Random(0)

    def draw_depth(_: SpeculationDepth, seq: Sequence) -> int:
        drawn.append(draw.randint(0, seq.num_thought_tokens))
        return drawn[-1]

    monkeypatch.setattr(SpeculationDepth, "of", draw_depth)
    return drawn


@pytest.mark.parametrize("seed", range(30))
def test_the_tokens_are_those_of_the_definition(seed: int, depths: list[int]) -> None:
    draw = random.Random(seed)
    config = EngineConfig(block_size=draw.choice([2, 16]), max_drafts=draw.choice([2, 64]))
    driver = Driver(config, num_blocks=draw.choice([30, 200]))
    sequences = draw_sequences(draw)
    driver.add(*sequences)
    driver.run()
    for seq in sequences:
        assert driver.got[seq] == definition_of(seq)
    if any(seq.num_thought_tokens > 0 for seq in sequences):
        assert len(set(depths)) > 1


PROMPTS = [[1, 2, 3], [50, 60], [7] * 9, [200, 3, 77]]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_gives_the_tokens_of_thinking_without_drafts(
    temperature: float, depths: list[int]
) -> None:
    """In float32. Each prompt has its own mix of depths, and all of them share the steps."""
    params = SamplingParams(
        temperature=temperature, max_tokens=24, seed=5, num_thought_tokens=4, ignore_eos=True
    )

    def generate() -> list[list[int]]:
        outputs = LLM(model=make_toy().model, num_blocks=100).generate(PROMPTS, params)
        return [output.outputs[0].token_ids for output in outputs]

    drafting = generate()
    assert set(depths) == {0, 1, 2, 3, 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpeculationDepth, "of", lambda *_: 0)
        assert generate() == drafting


@pytest.mark.learned_depth
def test_a_learned_depth_gives_the_tokens_of_thinking_without_drafts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long enough for several decisions and trials. Only steps without prefill are measured."""
    measured: list[tuple[int, float]] = []
    note_step = SpeculationDepth.note_step

    def spy(speculation: SpeculationDepth, num_rows: int, seconds: float) -> None:
        measured.append((num_rows, seconds))
        # Rows that are dear: the depth changes.
        note_step(speculation, num_rows, seconds + 0.01 * num_rows)

    monkeypatch.setattr(SpeculationDepth, "note_step", spy)
    params = SamplingParams(temperature=0.0, max_tokens=120, num_thought_tokens=4, ignore_eos=True)
    model = make_toy().model
    learned = LLM(model=model, num_blocks=200)
    drafting = [output.outputs[0].token_ids for output in learned.generate(PROMPTS, params)]
    stats = learned.stats()
    assert 0 < len(measured) < stats.steps
    assert all(seconds > 0 for _, seconds in measured)
    assert sum(num_rows for num_rows, _ in measured) < stats.rows
    depths: list[Speculation] = ["off", 4]
    for speculation in depths:
        other = LLM(model=model, num_blocks=200, speculation=speculation)
        assert drafting == [out.outputs[0].token_ids for out in other.generate(PROMPTS, params)]
    assert 0 < stats.drafted < other.stats().drafted


def test_a_step_with_prefill_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of 9 tokens, 4 in a step: the third step feeds the last of them, and decodes."""
    rows: list[int] = []
    monkeypatch.setattr(
        SpeculationDepth, "note_step", lambda _, num_rows, __: rows.append(num_rows)
    )
    driver = Driver(EngineConfig(max_rows=4))
    driver.add(make_sequence([1] * 9, max_tokens=20))
    for num_noted in (0, 0, 1, 2):
        driver.scheduler.note_step(driver.step(), 1.0)
        assert len(rows) == num_noted

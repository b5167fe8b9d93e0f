"""The depth changes the speed, never the result: depths that are drawn anew in each step."""

import random

import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.wavefront.sequence import Sequence
from qstar_infer.wavefront.speculation import SpeculationDepth

from ..parity.toy import make_toy
from .step_driver import Driver, definition_of
from .test_scheduler import draw_sequences


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


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_gives_the_tokens_of_thinking_without_drafts(
    temperature: float, depths: list[int]
) -> None:
    """In float32. Each prompt has its own mix of depths, and all of them share the steps."""
    prompts = [[1, 2, 3], [50, 60], [7] * 9, [200, 3, 77]]
    params = SamplingParams(
        temperature=temperature, max_tokens=24, seed=5, num_thought_tokens=4, ignore_eos=True
    )

    def generate() -> list[list[int]]:
        outputs = LLM(model=make_toy().model, num_blocks=100).generate(prompts, params)
        return [output.outputs[0].token_ids for output in outputs]

    drafting = generate()
    assert set(depths) == {0, 1, 2, 3, 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpeculationDepth, "of", lambda *_: 0)
        assert generate() == drafting

"""The engine on llama.cpp gives the tokens of the torch runner and of the definition."""

import logging
import random
from pathlib import Path

import pytest
import torch

from qstar_infer.config import EngineConfig
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.runner.llama_cpp.limits import PADDING_TEXT, fitting_config
from qstar_infer.runner.llama_cpp.llama_cpp_runner import LlamaCppRunner
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import StepBatch
from qstar_infer.thinking_rule import ThinkingRule

from ...engine.run_requests import request, run_requests
from ...parity.toy import make_toy
from .toys import exact, needs_llama_cpp

pytestmark = needs_llama_cpp
GATE = ThinkingRule(where="gate")


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_texts_are_those_of_the_torch_runner(
    architecture: str, speculation: str, tmp_path: Path
) -> None:
    toy = make_toy(architecture)
    model = exact(toy.model, tmp_path / "toy")
    requests = [request(f"r{each}", length=3 + each, max_tokens=8) for each in range(4)]
    got = run_requests(model, requests, num_blocks=64, speculation=speculation)
    wanted = run_requests(toy.model, requests, num_blocks=64)
    assert got.texts == wanted.texts
    assert not got.errors


def test_a_server_log_stays_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = exact(make_toy().model, tmp_path / "toy")
    got = run_requests(model, [request("r", length=3, max_tokens=4)], num_blocks=64)
    assert got.texts
    assert not [record for record in caplog.records if record.name == "llama.cpp"]


def test_a_gate_opens_at_the_same_tokens(tmp_path: Path) -> None:
    toy = make_toy(thinking=GATE)
    requests = [request(f"r{each}", length=3 + each, max_tokens=8) for each in range(3)]
    got = run_requests(exact(toy.model, tmp_path / "toy"), requests, num_blocks=64)
    assert got.texts == run_requests(toy.model, requests, num_blocks=64).texts


def test_numbers_are_those_of_the_definition(tmp_path: Path) -> None:
    """Log-probabilities and mixing weights, from `think` in torch."""
    toy = make_toy()
    llm = LLM(model=exact(toy.model, tmp_path / "toy"), num_blocks=64)
    prompt = [5, 6, 7, 8]
    params = SamplingParams(
        temperature=0.0, max_tokens=6, ignore_eos=True, logprobs=1, thought_top_logprobs=3
    )
    output = llm.generate([prompt], params)[0].outputs[0]
    trace = toy.model.think(torch.tensor([prompt + output.token_ids[:-1]]))
    wanted = trace.logits[0, 3:].log_softmax(-1)
    base = toy.model.mask_delimiters(trace.base_logits)[0, 3:].log_softmax(-1)
    for index, thought in enumerate(output.thoughts):
        assert thought.token_id == int(wanted[index].argmax())
        assert thought.logprob == pytest.approx(wanted[index].max().item(), abs=1e-4)
        assert thought.mixing_weight == pytest.approx(
            trace.mixing_weight[0, 3 + index].item(), abs=1e-4
        )
        for likely, row in (
            (thought.top_logprobs, wanted[index]),
            (thought.base_top_logprobs, base[index]),
        ):
            assert likely is not None
            logprobs = [each.logprob for each in likely]
            assert logprobs == pytest.approx(row.topk(3).values.tolist(), abs=1e-4)
            ids = [each.token_id for each in likely]
            assert row[ids].tolist() == pytest.approx(logprobs, abs=1e-4)
    llm.close()


def test_prompt_scores_are_those_of_the_torch_runner(tmp_path: Path) -> None:
    toy = make_toy()
    prompt = list(range(1, 40))
    params = SamplingParams(temperature=0.0, max_tokens=2, ignore_eos=True, prompt_logprobs=0)
    scores = []
    for model in (toy.model, exact(toy.model, tmp_path / "toy")):
        llm = LLM(model=model, num_blocks=128, scoring_positions=8)
        output = llm.generate([prompt], params)[0]
        assert output.prompt_logprobs is not None
        scores.append(
            [next(iter(each.values())).logprob for each in output.prompt_logprobs[1:] if each]
        )
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_random_mix_with_aborts_and_preemptions(seed: int, tmp_path: Path) -> None:
    """Each text is a beginning of the one that it gets alone, and no cell is lost."""
    toy = make_toy()
    model = exact(toy.model, tmp_path / "toy")
    draw = random.Random(seed)
    requests = [
        request(
            f"r{each}",
            length=draw.randint(1, 30),
            max_tokens=draw.randint(1, 10),
            num_thought_tokens=draw.choice([0, 1, 3]),
            temperature=draw.choice([0.0, 1.0]),
        )
        for each in range(10)
    ]
    alone = run_requests(toy.model, requests, num_blocks=400)
    engine = LLMEngine(
        model, EngineConfig(num_blocks=14, block_size=4, max_num_seqs=4, max_rows=16)
    )
    for one in requests:
        engine.add_request(engine.admission.admit(one))
    doomed = {one.request_id for one in requests if draw.random() < 0.2}
    texts: dict[str, list[int]] = {one.request_id: [] for one in requests}
    while engine.has_work:
        for news in engine.step():
            assert not isinstance(news, RequestFailure)
            for output in news.outputs:
                texts[news.request_id].extend(output.token_ids)
        if doomed and draw.random() < 0.1:
            engine.abort(doomed.pop())
    engine.check_idle()
    for name, text in texts.items():
        assert text == alone.texts[name, 0][: len(text)]
    assert engine.stats().preemptions > 0
    memory, runner = engine._scheduler.memory, engine._runner
    assert isinstance(runner, LlamaCppRunner)
    released = StepBatch(
        block_size=4,
        released_slots=memory.slots.take_released(),
        released_lane_slots=memory.lane_slots.take_released(),
    )
    assert runner.num_texts_in_use(released) == 0
    engine.close()


def test_limits_fit_the_numbers_of_texts() -> None:
    config = fitting_config(EngineConfig(max_num_seqs=100))
    assert 2 * 100 + config.scoring_positions + config.max_drafts <= PADDING_TEXT
    with pytest.raises(ConfigError, match="max_num_seqs is 127"):
        fitting_config(EngineConfig(max_num_seqs=127))


@pytest.mark.parametrize("speculation", ["auto", "off"])
def test_masks_are_those_of_the_torch_runner(speculation: str, tmp_path: Path) -> None:
    toy = make_toy()
    rules: list[dict[str, object]] = [
        {"structured_outputs": {"regex": "[a-f]{2,9}(-[0-9]){1,3}"}, "ignore_eos": False},
        {"structured_outputs": {"json": {"type": "array", "items": {"enum": [1, "é"]}}}},
        {"allowed_token_ids": tuple(range(60, 90)), "bad_words": ("aa", "b")},
    ]
    requests = [
        request(f"r{number}", length=4, max_tokens=24, **fields)
        for number, fields in enumerate(rules)
    ]
    model = exact(toy.model, tmp_path / "toy")
    got = run_requests(model, requests, num_blocks=64, speculation=speculation)
    assert not got.errors
    assert got.texts == run_requests(toy.model, requests, num_blocks=64).texts

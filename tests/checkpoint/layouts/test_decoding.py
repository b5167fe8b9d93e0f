"""Each layout that can think: the oracle and the engine against the layout's own decoding rule."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.errors import CheckpointError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_params import SamplingParams

from ...tolerances import TOY_LOGITS, TOY_MIXING_WEIGHT
from .decoding import Rule
from .makers import mix_head, mixer_head, reference
from .makers.common import END_ID, START_ID, Made, make_tokenizer

PROMPT = [72, 105, 33, 1, 200, 14]


@dataclass(frozen=True, kw_only=True)
class Case:
    make: Callable[[Path], Made]
    module: ModuleType
    """The maker's module, with the layout's talk head and thought vectors."""
    length: int
    needs_tokenizer: bool = False


def paper(max_thoughts: int, **settings: Any) -> Callable[[Path], Made]:
    return lambda path: reference.make_reference(path, max_thoughts=max_thoughts, **settings)


CASES = {
    "paper, n_ahead 8": Case(make=paper(13), module=reference, length=5),
    "paper, n_ahead 12": Case(make=paper(17), module=reference, length=9),
    "paper, another n_ahead": Case(make=paper(10), module=reference, length=2),
    "Crystalcareai, inference script": Case(make=paper(11), module=reference, length=5),
    "Fast-Quiet-STaR, first stage": Case(
        make=paper(25, has_tokenizer=False), module=reference, length=13, needs_tokenizer=True
    ),
    "Fast-Quiet-STaR, third stage, Qwen": Case(
        make=paper(13, model_type="qwen2", has_tokenizer=False),
        module=reference,
        length=5,
        needs_tokenizer=True,
    ),
    "Fast-Quiet-STaR, Qwen, tied": Case(
        make=paper(13, model_type="qwen2", has_tokenizer=False, tie_word_embeddings=True),
        module=reference,
        length=5,
        needs_tokenizer=True,
    ),
    "HansPolo113": Case(make=mix_head.make_mix_head, module=mix_head, length=3),
    "HansPolo113, no tokenizer": Case(
        make=lambda path: mix_head.make_mix_head(path, has_tokenizer=False),
        module=mix_head,
        length=3,
        needs_tokenizer=True,
    ),
    "dimitriye98": Case(
        make=mixer_head.make_mixer_head, module=mixer_head, length=3, needs_tokenizer=True
    ),
    "dimitriye98, one layer less": Case(
        make=lambda path: mixer_head.make_mixer_head(path, hidden_layers=0, has_tokenizer=True),
        module=mixer_head,
        length=3,
    ),
    "dimitriye98, vectors in the embedding": Case(
        make=lambda path: mixer_head.make_mixer_head(path, hosts_vectors=False),
        module=mixer_head,
        length=3,
        needs_tokenizer=True,
    ),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def made(case: Case, tmp_path: Path) -> Made:
    make_tokenizer(with_delimiters=False).save_pretrained(tmp_path / "base")
    return case.make(tmp_path / "checkpoint")


def load(case: Case, made: Made) -> QuietStarModel:
    tokenizer = made.directory.parent / "base" if case.needs_tokenizer else None
    return load_model(made.directory, dtype="float32", device="cpu", tokenizer=tokenizer)


def rule_of(case: Case, made: Made) -> Rule:
    start, end = case.module.thought_vectors(made)
    return Rule(
        backbone=made.backbone,
        start=start,
        end=end,
        num_thought_tokens=case.length,
        share=lambda base, thought: case.module.share_of_thought(made, base, thought),
    )


def assert_follows(model: QuietStarModel, rule: Rule) -> None:
    trace = model.think(torch.tensor([PROMPT]))
    shares = []
    for anchor in range(len(PROMPT)):
        logits, thought, share = rule.decide(PROMPT[: anchor + 1])
        assert trace.thought_ids[0, anchor].tolist() == thought
        assert float(trace.mixing_weight[0, anchor]) == pytest.approx(share, abs=TOY_MIXING_WEIGHT)
        torch.testing.assert_close(trace.logits[0, anchor], logits, rtol=0, atol=TOY_LOGITS)
        shares.append(share)
    assert max(map(abs, shares)) > 0.05, "thoughts have an effect"


def test_the_oracle_follows_the_layouts_rule(case: Case, made: Made) -> None:
    model = load(case, made)
    assert model.num_thought_tokens == case.length
    assert set(model.delimiter_ids) == {START_ID, END_ID}
    assert_follows(model, rule_of(case, made))


def test_the_engine_follows_the_layouts_rule(case: Case, made: Made) -> None:
    llm = LLM(model=load(case, made), num_blocks=40)
    params = SamplingParams(temperature=0.0, max_tokens=5, ignore_eos=True)
    output = llm.generate([PROMPT], params)[0].outputs[0]
    assert output.token_ids == rule_of(case, made).complete(PROMPT, 5)
    assert all(len(thought.thought_token_ids) == case.length for thought in output.thoughts)


def test_converted_it_computes_the_same_without_the_tokenizer_setting(
    case: Case, made: Made, tmp_path: Path
) -> None:
    model = load(case, made)
    save_model(model, tmp_path / "native")
    native = load_model(tmp_path / "native", dtype="float32", device="cpu")
    assert native.config == model.config
    got, want = (each.think(torch.tensor([PROMPT])) for each in (native, model))
    assert torch.equal(got.logits, want.logits)
    assert torch.equal(got.thought_ids, want.thought_ids)


def test_a_backbone_with_a_prefix_in_shards(tmp_path: Path) -> None:
    case = CASES["dimitriye98, one layer less"]
    made = case.make(tmp_path / "checkpoint")
    path = made.directory / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    shards = {
        name: f"model-0000{index % 2 + 1}-of-00002.safetensors"
        for index, name in enumerate(tensors)
    }
    for shard in set(shards.values()):
        part = {name: tensors[name] for name in tensors if shards[name] == shard}
        save_file(part, made.directory / shard, metadata={"format": "pt"})
    index = json.dumps({"metadata": {}, "weight_map": shards})
    (made.directory / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    assert_follows(load(case, made), rule_of(case, made))


def test_a_tensor_without_the_prefix_is_refused(tmp_path: Path, edit_tensors: Any) -> None:
    made = mixer_head.make_mixer_head(tmp_path / "checkpoint", has_tokenizer=True)
    stray = {"lm_head.weight": torch.zeros(259, 32)}
    edit_tensors(made.directory / "model.safetensors", lambda tensors: tensors.update(stray))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight.* that the model does not use"):
        load_model(made.directory)


def test_mixed_log_probabilities_are_mixed_logits(tmp_path: Path) -> None:
    """HansPolo113 mixes after the log-softmax."""
    made = mix_head.make_mix_head(tmp_path / "checkpoint")
    case = CASES["HansPolo113"]
    model, rule = load(case, made), rule_of(case, made)
    logits, thought, share = rule.decide(PROMPT)
    rows = made.backbone.get_input_embeddings()(torch.tensor(PROMPT + thought)).detach()
    fed = torch.cat([rows[: len(PROMPT)], rule.start[None], rows[len(PROMPT) :], rule.end[None]])
    with torch.no_grad():
        base, end = (
            made.backbone.lm_head(rule.state(states)).log_softmax(-1)
            for states in (rows[: len(PROMPT)], fed)
        )
    theirs = share * end + (1 - share) * base
    theirs[[START_ID, END_ID]] = float("-inf")
    ours = model.think(torch.tensor([PROMPT])).logits[0, -1]
    torch.testing.assert_close(
        ours.log_softmax(-1), theirs.log_softmax(-1), rtol=0, atol=2 * TOY_LOGITS
    )

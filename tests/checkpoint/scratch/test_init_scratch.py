"""Models from scratch: their tokenizer, their weights, and that they load, think and serve."""

import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from qstar_infer import LLM, SamplingParams
from qstar_infer.checkpoint import init_model, init_scratch, load_model, save_model
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.checkpoint.scratch.config import parse_scratch_config
from qstar_infer.cli.init import init
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_lab.tasks.registry import TASKS

from ...tolerances import float32_tolerance
from .values import TOKENS, values

LOGITS = float32_tolerance(num_terms=2 * 8 * 48 + 32, size=math.sqrt(32))
"""The path is that of TOY_LOGITS; a norm's 32 numbers are at most the square root of 32."""
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def make(**changes: Any) -> QuietStarModel:
    return init_scratch(parse_scratch_config(values(**changes), where="test"))


def test_text_becomes_the_ids_of_whole_tokens_and_back() -> None:
    tokenizer = make().tokenizer
    text = "5+1*2..?>60=0<eos>"
    tokens = ["5", "+1", "*2", ".", ".", "?", ">", "6", "0", "=", "0", "<eos>"]
    ids = tokenizer(text)["input_ids"]
    assert ids == [TOKENS.index(token) for token in tokens]
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text.removesuffix("<eos>")
    assert tokenizer("5+3 \n9")["input_ids"] == [TOKENS.index("5"), 1, 1, 1, 1]
    assert (tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1)


@pytest.mark.parametrize("name", TASKS)
def test_the_tokenizer_of_a_task_splits_as_the_task_does(name: str) -> None:
    task = TASKS[name]
    changes = {"vocabulary__tokens": list(task.tokens), "vocabulary__pattern": task.pattern}
    tokenizer = make(**changes).tokenizer
    problem = task.draw(Random(0), held_out=False)
    text = f"{problem.prompt}>{''.join(problem.working)}={problem.answer}"
    wanted = [*problem.question, ">", *problem.working, "=", problem.answer]
    assert tokenizer.tokenize(text) == wanted
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_pattern_that_splits_a_token_is_refused() -> None:
    """Such a token would never be found, and its row never trained."""
    with pytest.raises(ConfigError, match=r"'.' splits the token '\+1' into '<unk>', '1'"):
        make(vocabulary__pattern=".")


def test_a_pattern_that_is_no_expression_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pattern = '\[a' is no regular expression"):
        make(vocabulary__pattern="[a")


@pytest.mark.parametrize("template", ["{% for %}", "{{ messages[7].content }}"])
def test_a_chat_template_that_fails_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="chat_template fails on one message"):
        make(vocabulary__chat_template=template)


def test_a_chat_template_may_refuse_messages() -> None:
    template = "{{ raise_exception('give a number') }}"
    assert make(vocabulary__chat_template=template).tokenizer.chat_template == template


def test_a_chat_template_is_saved(tmp_path: Path) -> None:
    save_model(make(vocabulary__chat_template=TEMPLATE), tmp_path / "model")
    tokenizer = load_model(tmp_path / "model", device="cpu").tokenizer
    messages = [{"role": "user", "content": "5+1?"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "5+1?"


@pytest.mark.parametrize("tied", [False, True])
def test_shapes_and_count_are_those_of_the_config(tied: bool) -> None:
    backbone = make(llama__tied=tied).backbone
    hidden, ffn, vocab, layers = 32, 48, len(TOKENS), 2
    layer = 4 * hidden * hidden + 3 * hidden * ffn + 2 * hidden
    embeddings = vocab * hidden * (1 if tied else 2)
    assert sum(p.numel() for p in backbone.parameters()) == embeddings + layers * layer + hidden
    inner, outer = backbone.get_input_embeddings(), backbone.get_output_embeddings()
    assert (inner.get_parameter("weight") is outer.get_parameter("weight")) == tied
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert backbone.config.max_position_embeddings == 64
    assert backbone.config.num_key_value_heads == 4


def test_the_seed_and_the_range_decide_the_weights() -> None:
    before = torch.get_rng_state()
    first, same, other, wide = (
        make().backbone,
        make().backbone,
        make(seed=4).backbone,
        make(llama__initializer_range=0.5).backbone,
    )
    assert torch.equal(torch.get_rng_state(), before)
    name = "model.layers.0.mlp.gate_proj.weight"
    for key, value in first.state_dict().items():
        assert torch.equal(same.state_dict()[key], value), key
    assert not torch.equal(other.state_dict()[name], first.state_dict()[name])
    # The deviation of 1,536 numbers is known to 1 / sqrt(2 * 1,536), which is 2 %; five times that.
    assert first.state_dict()[name].std().item() == pytest.approx(0.05, rel=0.1)
    assert wide.state_dict()[name].std().item() == pytest.approx(0.5, rel=0.1)


def test_the_saved_model_loads_as_transformers_loads_it(tmp_path: Path) -> None:
    model = make()
    save_model(model, tmp_path / "model")
    inspection = inspect_checkpoint(tmp_path / "model")
    assert (inspection.problems, inspection.notes) == ([], [])
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = AutoTokenizer.from_pretrained(tmp_path / "model")("5+1*2.?", return_tensors="pt")
    wanted = stock(ids["input_ids"]).logits
    loaded = load_model(tmp_path / "model", dtype="float32", device="cpu")
    assert not loaded.can_think
    for each in (model, loaded):
        found = each.think(ids["input_ids"], num_thought_tokens=0).base_logits
        torch.testing.assert_close(found, wanted, rtol=0, atol=LOGITS)


def test_from_file_to_thoughts(tmp_path: Path) -> None:
    """The way of the lab: make a model, give it thought parts, serve it."""
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(values()))
    init(str(tmp_path / "model.yaml"), tmp_path / "model", scratch=True)
    model = init_model(
        tmp_path / "model", num_thought_tokens=2, start_token=">", end_token="=", device="cpu"
    )
    llm = LLM(model=model)
    params = SamplingParams(max_tokens=3, temperature=0.0, ignore_eos=True)
    (output,) = llm.generate(["5+1*2.?"], params)
    llm.close()
    thoughts = output.outputs[0].thoughts
    assert [len(thought.thought_token_ids) for thought in thoughts or ()] == [2, 2, 2]
    assert output.outputs[0].text == "".join(thought.token for thought in thoughts or ())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_thought_tokens", 4),
        ("seed", 0),
        ("start_token", ">"),
        ("end_token", "="),
        ("dtype", "float32"),
    ],
)
def test_options_of_thought_parts_are_refused(tmp_path: Path, option: str, value: Any) -> None:
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(values()))
    name = "--" + option.replace("_", "-")
    with pytest.raises(ConfigError, match=f"{name} would have no effect"):
        init(str(tmp_path / "model.yaml"), tmp_path / "model", scratch=True, **{option: value})
    assert not (tmp_path / "model").exists()

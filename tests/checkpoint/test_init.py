"""`init_model` adds fresh thought parts; `describe` describes a model in a sentence."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel

from qstar_eval.checkpoints import ModelFacts
from qstar_infer import LLM
from qstar_infer.checkpoint import describe, init_model, load_model, save_model
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

ToyMaker = Callable[..., Path]


def test_both_vectors_are_the_first_token_of_three_dashes(make_plain: ToyMaker) -> None:
    directory = make_plain(dtype=torch.bfloat16)
    model = init_model(directory, num_thought_tokens=4)
    first_id = model.tokenizer("---", add_special_tokens=False)["input_ids"][0]
    row = model.backbone.get_input_embeddings().get_parameter("weight")[first_id].float()
    parts = model.thinking_parts
    assert torch.equal(parts.start_thought.data, row)
    assert torch.equal(parts.end_thought.data, row)
    assert not torch.any(parts.talk_head[4].get_parameter("weight"))
    assert model.config is not None
    assert model.config.num_thought_tokens == 4
    assert model.config.training is None
    assert model.config.base_model == str(directory)
    assert model.delimiter_ids == ()


def test_delimiters_of_the_vocabulary_are_recorded(
    tmp_path: Path, golden: Path, toy_backbone: Callable[..., PreTrainedModel]
) -> None:
    toy_backbone().save_pretrained(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        content = (golden / "A" / "checkpoint" / name).read_bytes()
        (tmp_path / "plain" / name).write_bytes(content)
    assert init_model(tmp_path / "plain").delimiter_ids == (500, 501)


def test_one_delimiter_without_the_other_is_rejected(make_plain: ToyMaker) -> None:
    """Such a tokenizer used to be accepted, so that the delimiter could be emitted."""
    directory = make_plain()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_tokens(["<|endthought|>"])
    tokenizer.save_pretrained(directory)
    with pytest.raises(CheckpointError, match="lacks the other of the delimiters"):
        init_model(directory)


def test_seed_determines_the_talk_head(make_plain: ToyMaker) -> None:
    directory = make_plain()
    models = [init_model(directory, seed=seed) for seed in (1, 1, 2)]
    first, same, other = (
        model.thinking_parts.talk_head.get_parameter("0.weight") for model in models
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_model_that_already_thinks_is_rejected(native: Path, golden: Path) -> None:
    for source in (native, golden / "A" / "checkpoint"):
        with pytest.raises(CheckpointError, match="has thought parts already"):
            init_model(source)


def test_length_is_checked_before_the_load(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_thought_tokens=0"):
        init_model(tmp_path / "absent", num_thought_tokens=0)
    with pytest.raises(ConfigError, match="num_thought_tokens='5'"):
        init_model(tmp_path / "absent", num_thought_tokens="5")  # type: ignore[arg-type]


def test_descriptions_of_fresh_trained_and_plain_models(
    make_plain: ToyMaker, tmp_path: Path
) -> None:
    directory = make_plain(name="Toy-1")
    fresh = init_model(directory, num_thought_tokens=5)
    assert fresh.config is not None
    assert describe(fresh) == (
        "Toy-1 (48K parameters, float32), thinks 5 tokens before each token; "
        "thought parts freshly initialised, so thoughts do not change the text yet"
    )
    config = dataclasses.replace(fresh.config, training={"steps": 1}, num_thought_tokens=1)
    trained = QuietStarModel(
        fresh.backbone, fresh.tokenizer, thought_parts=moved(fresh), config=config
    )
    assert describe(trained).endswith("thinks 1 token before each token; thought parts trained")
    save_model(trained, tmp_path / "saved")
    assert describe(load_model(tmp_path / "saved")) == describe(trained).replace("Toy-1", "saved")
    plain = load_model(directory)
    assert describe(plain).endswith("without thought parts; it cannot think")


def moved(model: QuietStarModel) -> ThoughtParts:
    """The model's thought parts after a step of training."""
    parts = copy.deepcopy(model.thinking_parts)
    with torch.no_grad():
        parts.talk_head.get_parameter("4.weight")[0, -1] = -0.1
    return parts


def test_whether_parts_are_fresh_is_read_from_the_weights(native: Path, tmp_path: Path) -> None:
    """A checkpoint without notes about its training was called fresh, whatever it computed."""
    fresh = load_model(native, device="cpu")
    assert fresh.config is not None
    assert fresh.config.training is None
    trained = QuietStarModel(
        fresh.backbone, fresh.tokenizer, thought_parts=moved(fresh), config=fresh.config
    )
    save_model(trained, tmp_path / "trained")
    loaded = load_model(tmp_path / "trained", device="cpu")
    input_ids = torch.tensor([[5, 6, 7, 8]])
    assert not torch.any(fresh.think(input_ids).mixing_weight)
    assert torch.any(loaded.think(input_ids).mixing_weight)
    for model, is_trained in ((fresh, False), (loaded, True)):
        assert ("freshly initialised" in describe(model)) == (not is_trained)
        assert ModelFacts.of(model).description == describe(model)
        llm = LLM(model=model)
        assert llm.model_info.is_trained == is_trained
        assert llm.model_info.description == describe(model)
        llm.close()
    assert describe(loaded).endswith("thought parts trained, it is not noted how")
    for directory, is_trained in ((native, False), (tmp_path / "trained", True)):
        thinking = inspect_checkpoint(directory).thinking
        assert thinking is not None
        assert thinking.is_trained == is_trained


def test_parts_that_training_left_at_zero_do_not_pass_for_trained(native: Path) -> None:
    model = load_model(native, device="cpu")
    assert model.config is not None
    noted = dataclasses.replace(model.config, training={"steps": 1})
    model = QuietStarModel(
        model.backbone, model.tokenizer, thought_parts=model.thought_parts, config=noted
    )
    assert describe(model).endswith("zero even after training, so thoughts do not change the text")

"""Tokenizers with more ids than the embedding has rows, as that of gemma-3-1b."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from qstar_infer import LLM, SamplingParams
from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.errors import CheckpointError, ConfigError, RequestError
from qstar_infer.model.token_rows import tokens_without_row
from qstar_train.data.encoding import PlainEncoder

from .conftest import ToyMaker

IMAGE = "<image_soft_token>"
IMAGE_ID = 512
ROWS = 512


def add_tokens(directory: Path, tokens: dict[int, str], *, special: bool = True) -> Path:
    """Write added tokens into a checkpoint's tokenizer, with unused ones up to them."""
    path = directory / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for token_id in range(500, max(tokens) + 1):
        content["added_tokens"].append(
            {
                "id": token_id,
                "content": tokens.get(token_id, f"<unused{token_id}>"),
                "special": special,
                **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            }
        )
    path.write_text(json.dumps(content), encoding="utf-8")
    return directory


@pytest.fixture
def larger(make_plain: ToyMaker) -> Path:
    """A plain model of 512 rows whose tokenizer has 513 ids."""
    return add_tokens(make_plain(), {IMAGE_ID: IMAGE})


def test_it_is_loaded_with_a_warning_that_names_the_token(
    larger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = load_model(larger, device="cpu")
    (record,) = caplog.records
    assert f"'{IMAGE}' (512) cannot be used" in record.getMessage()
    ids = torch.tensor([[1, 5, 499, 511, 7]])
    expected = AutoModelForCausalLM.from_pretrained(larger)(ids).logits
    got = model.think(ids, num_thought_tokens=0).base_logits
    # Two orders of the same float32 sums.
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("prompt", "fields", "param"),
    [
        (f"a {IMAGE} b", {}, "prompt"),
        ([1, IMAGE_ID], {}, "prompt"),
        ([1], {"stop_token_ids": (IMAGE_ID,)}, "stop_token_ids"),
        ([1], {"logit_bias": {IMAGE_ID: 1.0}}, "logit_bias"),
    ],
)
def test_requests_that_use_the_token_are_refused_by_its_name(
    larger: Path, prompt: Any, fields: dict[str, Any], param: str
) -> None:
    llm = LLM(larger, device="cpu")
    with pytest.raises(RequestError, match=rf"{IMAGE}' \(id 512\).*no embedding") as caught:
        llm.generate([prompt], SamplingParams(max_tokens=1, **fields))
    assert caught.value.param == param
    ids = (
        llm.generate(["a"], SamplingParams(max_tokens=20, temperature=2.0))[0].outputs[0].token_ids
    )
    assert max(ids) < ROWS


def test_it_is_saved_and_loaded_again(larger: Path, tmp_path: Path) -> None:
    model = init_model(larger, num_thought_tokens=2, device="cpu")
    save_model(model, tmp_path / "saved")
    again = load_model(tmp_path / "saved", device="cpu")
    assert tokens_without_row(again.tokenizer, again.vocab_size) == {IMAGE_ID: IMAGE}
    assert again.vocab_size == ROWS
    outputs = LLM(model=again).generate(["a"], SamplingParams(max_tokens=3))
    assert len(outputs[0].outputs[0].thoughts) == 3


@pytest.mark.parametrize("special", [True, False])
def test_training_text_does_not_encode_to_it(make_plain: ToyMaker, special: bool) -> None:
    larger = add_tokens(make_plain(), {IMAGE_ID: IMAGE}, special=special)
    tokenizer = load_model(larger, device="cpu").tokenizer
    encoder = PlainEncoder(tokenizer, list(tokens_without_row(tokenizer, ROWS)))
    (ids,) = encoder.encode([f"a {IMAGE} b"], where="x")
    assert ids.max() < ROWS


def test_training_needs_an_end_of_sequence_with_an_embedding(make_plain: ToyMaker) -> None:
    tokenizer = load_model(add_tokens(make_plain(), {IMAGE_ID: IMAGE}), device="cpu").tokenizer
    tokenizer.eos_token = IMAGE
    with pytest.raises(ConfigError, match=rf"ends in '{IMAGE}' \(token 512\)"):
        PlainEncoder(tokenizer, [IMAGE_ID])


def test_a_vocabulary_that_does_not_fit_is_another_models(make_plain: ToyMaker) -> None:
    directory = add_tokens(make_plain(vocab_size=499), {IMAGE_ID: IMAGE})
    with pytest.raises(CheckpointError, match="ids up to 512, but the embedding has only 499 rows"):
        load_model(directory)


def test_delimiters_need_rows(make_plain: ToyMaker) -> None:
    tokens = {512: "<|startthought|>", 513: "<|endthought|>"}
    directory = add_tokens(make_plain(), tokens)
    with pytest.raises(CheckpointError, match=r"'<\|startthought\|>' as 512.*cannot do without"):
        load_model(directory)


def test_a_token_that_begins_every_text_needs_a_row(larger: Path) -> None:
    path = larger / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": IMAGE, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {IMAGE: {"id": IMAGE, "ids": [IMAGE_ID], "tokens": [IMAGE]}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"'{IMAGE}' as 512.*cannot do without"):
        load_model(larger)

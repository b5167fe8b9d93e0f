"""Checkpoints that are loaded as plain language models, and those that are refused."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import describe, load_model, save_model
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_params import SamplingParams

from ...tolerances import TOY_LOGITS
from .decoding import Rule
from .makers.common import Made
from .makers.gated import make_gated
from .makers.mix_head import make_mix_head
from .makers.mixer_head import make_mixer_head
from .makers.ponderlm import make_ponderlm
from .makers.reference import make_reference, share_of_thought, thought_vectors

PROMPT = [72, 105, 33, 1, 200, 14]


def load(made: Made, **settings: Any) -> QuietStarModel:
    return load_model(made.directory, dtype="float32", device="cpu", **settings)


@torch.no_grad()
def assert_plain(model: QuietStarModel, made: Made) -> None:
    """The model computes what transformers computes, and completes with it."""
    assert not model.can_think
    assert model.num_thought_tokens == 0
    ids = torch.tensor([PROMPT])
    want = made.backbone(ids).logits
    torch.testing.assert_close(model.think(ids).logits, want, rtol=0, atol=TOY_LOGITS)
    output = LLM(model=model, num_blocks=40).generate(
        [PROMPT], SamplingParams(temperature=0.0, max_tokens=5, ignore_eos=True)
    )
    tokens = list(PROMPT)
    for _ in range(5):
        tokens.append(int(made.backbone(torch.tensor([tokens])).logits[0, -1].argmax()))
    assert output[0].outputs[0].token_ids == tokens[len(PROMPT) :]


@pytest.mark.parametrize("model_type", ["mistral", "qwen2"])
def test_the_last_stage_of_fast_quiet_star_is_a_plain_model(
    tmp_path: Path, base_tokenizer: Path, caplog: pytest.LogCaptureFixture, model_type: str
) -> None:
    made = make_reference(
        tmp_path / "last", max_thoughts=3, model_type=model_type, has_tokenizer=False
    )
    with pytest.raises(CheckpointError, match="has no tokenizer .* --tokenizer"):
        load(made)
    model = load(made, tokenizer=base_tokenizer)
    assert_plain(model, made)
    assert "plain language model" in describe(model)
    assert "max_thoughts = 3 means n_ahead = 1" in caplog.text
    save_model(model, tmp_path / "native")
    assert_plain(load_model(tmp_path / "native", dtype="float32", device="cpu"), made)


def test_the_last_stage_thinks_only_if_a_length_is_given(
    tmp_path: Path, base_tokenizer: Path
) -> None:
    made = make_reference(tmp_path / "last", max_thoughts=3, has_tokenizer=False)
    model = load(made, tokenizer=base_tokenizer, num_thought_tokens=2)
    start, end = thought_vectors(made)
    rule = Rule(
        backbone=made.backbone,
        start=start,
        end=end,
        num_thought_tokens=2,
        share=lambda base, thought: share_of_thought(made, base, thought),
    )
    logits, thought, _ = rule.decide(PROMPT)
    trace = model.think(torch.tensor([PROMPT]))
    assert trace.thought_ids[0, -1].tolist() == thought
    torch.testing.assert_close(trace.logits[0, -1], logits, rtol=0, atol=TOY_LOGITS)
    assert model.config is not None
    assert "the files say 0, which was not used" in model.config.notes[0]


@pytest.mark.parametrize(
    ("is_edit", "message"),
    [
        (False, r"\[32, 64\] is no talk head .* a gate for each channel"),
        (True, r"a gate for each channel .*; thinking_gate\.fc1\.bias, .* are a thinking gate"),
    ],
)
def test_gates_are_refused_by_what_they_are(tmp_path: Path, is_edit: bool, message: str) -> None:
    made = make_gated(tmp_path / "gated", is_edit=is_edit)
    with pytest.raises(CheckpointError, match=f"{message}.*--ignore-thought-parts"):
        load(made)
    with pytest.raises(CheckpointError, match=message):
        load(made, num_thought_tokens=4)
    assert_plain(load(made, ignore_thought_parts=True), made)


def test_a_thinking_gate_alone_is_refused_unless_it_is_off(
    tmp_path: Path, edit_json: Any, edit_tensors: Any
) -> None:
    """The paper's talk head with the gate of -EDIT."""
    made = make_reference(tmp_path / "gated", max_thoughts=13)
    path = made.directory / "config.json"
    edit_json(path, use_thinking_gate=False, thinking_gate_threshold=0.5, chunk_size=8)
    assert load(made).num_thought_tokens == 5
    for change in ({"use_thinking_gate": True}, {"thought_chunk_size": 4}):
        edit_json(path, use_thinking_gate=False, thought_chunk_size=1)
        edit_json(path, **change)
        ((key, value),) = change.items()
        with pytest.raises(CheckpointError, match=f"{key} = {value}; only .* is supported"):
            load(made)
    gate = {"thinking_gate.fc2.weight": torch.zeros(1, 128)}
    edit_tensors(made.directory / "model.safetensors", lambda tensors: tensors.update(gate))
    with pytest.raises(CheckpointError, match=r"thinking_gate\.fc2\.weight are a thinking gate"):
        load(made)


def test_ponderlm_is_refused_in_any_case(tmp_path: Path) -> None:
    """Its backbone is trained with latent steps, so it is no plain language model either."""
    made = make_ponderlm(tmp_path / "ponder")
    for settings in ({}, {"ignore_thought_parts": True}):
        with pytest.raises(CheckpointError, match="num_latent_thoughts = 2: this is a PonderLM-2"):
            load(made, **settings)


@pytest.mark.parametrize(
    "made",
    [
        lambda path: make_reference(path, max_thoughts=13),
        lambda path: make_reference(path, max_thoughts=None),
        make_mix_head,
        lambda path: make_mixer_head(path, has_tokenizer=True),
    ],
    ids=["paper", "no length", "HansPolo113", "dimitriye98"],
)
def test_without_its_thought_parts_it_is_its_backbone(tmp_path: Path, made: Any) -> None:
    checkpoint = made(tmp_path / "checkpoint")
    model = load(checkpoint, ignore_thought_parts=True)
    assert_plain(model, checkpoint)
    save_model(model, tmp_path / "plain")
    assert_plain(load_model(tmp_path / "plain", dtype="float32", device="cpu"), checkpoint)


def test_native_checkpoints_without_their_thought_parts(tmp_path: Path) -> None:
    made = make_reference(tmp_path / "checkpoint", max_thoughts=13)
    save_model(load(made), tmp_path / "native")
    llm = LLM(tmp_path / "native", dtype="float32", ignore_thought_parts=True, num_blocks=40)
    assert_plain(llm.model, made)


@pytest.mark.parametrize("setting", [{"num_thought_tokens": 3}, {"thought_vectors": "literal"}])
def test_settings_that_contradict_it_are_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    made = make_reference(tmp_path / "checkpoint", max_thoughts=13)
    with pytest.raises(ConfigError, match="ignore_thought_parts loads a language model"):
        load(made, ignore_thought_parts=True, **setting)


def test_a_flag_that_is_no_flag_is_refused(tmp_path: Path) -> None:
    """ "false" would count as true."""
    with pytest.raises(ConfigError, match="ignore_thought_parts='false' must be true or false"):
        load_model(tmp_path, ignore_thought_parts="false")  # type: ignore[arg-type]


def test_keys_of_other_architectures_are_no_sign_of_a_layout(
    make_plain: Any, edit_json: Any
) -> None:
    edit_json(make_plain() / "config.json", chunk_size=8, n_true=4)
    assert not load_model(make_plain(), device="cpu").can_think


@pytest.mark.parametrize("name", ["think_head.0.weight", "model.thought_gate.weight"])
def test_thought_tensors_that_no_layout_knows_are_refused(
    tmp_path: Path, edit_tensors: Any, name: str
) -> None:
    made = make_reference(tmp_path / "checkpoint", max_thoughts=13)
    path = made.directory / "model.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({name: torch.zeros(4)}))
    for settings in ({}, {"ignore_thought_parts": True}):
        with pytest.raises(CheckpointError, match=f"{name}.* that the model does not use"):
            load(made, **settings)


def test_literal_vectors_are_those_of_the_papers_script_only(tmp_path: Path) -> None:
    made = make_mix_head(tmp_path / "checkpoint")
    message = re.escape("a checkpoint of HansPolo113/QuietSTaR. Leave it out.")
    with pytest.raises(ConfigError, match=message):
        load(made, thought_vectors="literal")


def test_a_length_that_was_not_inferred_is_noted_as_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_mix_head(tmp_path / "checkpoint")
    with caplog.at_level(logging.INFO, logger="qstar_infer"):
        model = load(made, num_thought_tokens=1)
    assert model.num_thought_tokens == 1
    assert "num_thought_tokens = 1 was given by the caller; the files say 3" in caplog.text

"""Inspecting a checkpoint of another code base says what loading it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.errors import CheckpointError

from .makers.common import DELIMITERS, Made
from .makers.gated import make_gated
from .makers.mix_head import make_mix_head
from .makers.mixer_head import make_mixer_head
from .makers.ponderlm import make_ponderlm
from .makers.reference import make_reference

THINKING: dict[str, Callable[[Path], Made]] = {
    "paper": lambda path: make_reference(path, max_thoughts=13, has_tokenizer=False),
    "Fast-Quiet-STaR": lambda path: make_reference(
        path, max_thoughts=25, model_type="qwen2", has_tokenizer=False
    ),
    "HansPolo113": lambda path: make_mix_head(path, has_tokenizer=False),
    "dimitriye98": make_mixer_head,
}
REFUSED: dict[str, Callable[[Path], Made]] = {
    "gate": make_gated,
    "two gates": lambda path: make_gated(path, is_edit=True),
    "PonderLM-2": make_ponderlm,
    "no length": lambda path: make_reference(path, max_thoughts=None),
    "no tokenizer": make_mixer_head,
}


@pytest.mark.parametrize("name", THINKING)
def test_facts_are_those_of_the_loaded_model(
    tmp_path: Path, base_tokenizer: Path, name: str
) -> None:
    made = THINKING[name](tmp_path / "checkpoint")
    inspection = inspect_checkpoint(made.directory, tokenizer=base_tokenizer)
    assert inspection.problems == []
    model = load_model(made.directory, device="cpu", tokenizer=base_tokenizer)
    facts, config = inspection.thinking, model.config
    assert facts is not None
    assert config is not None
    head = model.thinking_parts.talk_head.config
    assert facts.num_thought_tokens == config.num_thought_tokens
    assert facts.num_talk_tokens == config.num_talk_tokens
    assert facts.head_layers == [list(shape) for shape in head.layers]
    assert (tuple(facts.head_biases), facts.head_sigmoid) == (head.biases, head.sigmoid)
    assert [facts.start.token, facts.end.token] == DELIMITERS
    assert (facts.start.token_id, facts.end.token_id) == model.delimiter_ids
    assert inspection.notes == config.notes


@pytest.mark.parametrize("name", REFUSED)
def test_problems_are_those_of_loading(tmp_path: Path, name: str) -> None:
    made = REFUSED[name](tmp_path / "checkpoint")
    with pytest.raises(CheckpointError) as refusal:
        load_model(made.directory, device="cpu")
    assert str(refusal.value) in inspect_checkpoint(made.directory).problems


def test_the_last_stage_is_shown_as_plain(tmp_path: Path, base_tokenizer: Path) -> None:
    made = make_reference(tmp_path / "last", max_thoughts=3, has_tokenizer=False)
    inspection: Any = inspect_checkpoint(made.directory, tokenizer=base_tokenizer)
    assert inspection.would_load
    assert inspection.thinking is None
    assert "loaded as a plain language model" in inspection.notes[0]

"""Inspects and loads the same checkpoint, and holds the two to the same answer."""

import re
from pathlib import Path
from typing import Any

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.inspection.facts import Inspection
from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint
from qstar_infer.context_length import context_length
from qstar_infer.errors import CheckpointError
from qstar_infer.model.description import changes_nothing
from qstar_infer.model.generation_defaults import sampling_defaults
from qstar_infer.model.quiet_star import QuietStarModel

NEEDS_VALUES = re.compile("NaN or infinite|cannot be merged: the merged layer")
"""What only the values of weights show, which an inspection does not read."""


def check_agreement(source: str | Path | None, **settings: Any) -> str:
    """Inspect and load.

    Returns:
        "loaded" or "refused".

    Raises:
        AssertionError: the two disagree.
    """
    inspection = inspect_checkpoint(source, **settings)
    loaded = load_or_reason(source, **settings)
    if isinstance(loaded, QuietStarModel):
        assert inspection.problems == [], "it loads"
        assert_same_facts(inspection, loaded)
        return "loaded"
    if not NEEDS_VALUES.search(loaded):
        problems = [comparable(problem) for problem in inspection.problems]
        assert comparable(loaded) in problems, f"{loaded}\nnot among:\n{problems}"
    return "refused"


def load_or_reason(source: str | Path | None, **settings: Any) -> QuietStarModel | str:
    """The model as an engine takes it, or why it is refused."""
    try:
        model = load_model(source, dtype="stored", device="cpu", **settings)
        sampling_defaults(model)
    except CheckpointError as refusal:
        return str(refusal)
    return model


def comparable(problem: str) -> str:
    """A message without torch's own words, which differ without weights."""
    return re.sub("forward pass fails: .*", "forward pass fails", problem)


def assert_same_facts(inspection: Inspection, model: QuietStarModel) -> None:
    facts = inspection.model
    assert facts is not None
    assert inspection.tokenizer is not None
    context = context_length(model.backbone.config)
    assert facts.model_type == model.backbone.config.model_type
    assert facts.hidden_size == model.hidden_size
    assert facts.embedding_rows == model.vocab_size
    assert facts.context_length == context.num_tokens
    assert (facts.rope is None) == (model.num_positions is not None)
    assert inspection.tokenizer.num_tokens == len(model.tokenizer.get_vocab())
    if inspection.adapter is None:  # merging may untie the embeddings
        assert facts.num_parameters == model.backbone.num_parameters()
        assert facts.tied_embeddings == bool(model.backbone.config.tie_word_embeddings)
    assert_same_thinking(inspection, model)
    assert inspection.sampling_defaults.items() <= vars_of(sampling_defaults(model)).items()


def assert_same_thinking(inspection: Inspection, model: QuietStarModel) -> None:
    thinking = inspection.thinking
    assert (thinking is None) == (model.config is None)
    if thinking is None or model.config is None:
        return
    head = model.thinking_parts.talk_head.config
    assert thinking.num_thought_tokens == model.config.num_thought_tokens
    assert thinking.num_talk_tokens == model.config.num_talk_tokens
    assert thinking.thought_temperature == model.config.thought_temperature
    assert thinking.thinking == model.config.thinking.to_json()
    assert thinking.has_gate == model.has_gate
    assert thinking.is_trained == (not changes_nothing(model.thinking_parts.talk_head))
    assert thinking.head_layers == [list(shape) for shape in head.layers]
    assert thinking.head_biases == list(head.biases)
    assert thinking.head_sigmoid == head.sigmoid
    ids = (thinking.start.token_id, thinking.end.token_id)
    assert ids == (model.config.start_thought_token_id, model.config.end_thought_token_id)
    assert inspection.notes == model.config.notes


def vars_of(defaults: Any) -> dict[str, Any]:
    return {name: getattr(defaults, name) for name in type(defaults).__dataclass_fields__}

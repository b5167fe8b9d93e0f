"""How many positions a model was made for, read from its `transformers` config. Plain data."""

import math
from dataclasses import dataclass
from typing import Any

from qstar_infer.errors import CheckpointError

ASSUMED_TOKENS = 2048
"""The context length of a model whose config states none."""

_STATED_ROPE_TYPES = frozenset({"default", "llama3", "longrope", "su", "proportional"})
"""With these, `max_position_embeddings` is the length after scaling."""

_STATED_MODEL_TYPES = ("gemma3",)
"""Prefixes of model types that state the length after scaling, whatever their rope type: Gemma 3
has a linear factor of 8 and 131072 positions, on which it was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextLength:
    """The context length of a model, and where it comes from."""

    num_tokens: int
    """The most tokens of a text, at least 1."""
    is_stated: bool
    """False: the config states no length, so this one is assumed, and is no limit."""
    origin: str
    """The config's fields that give it, for a person."""


def context_length(config: Any) -> ContextLength:
    """The context length of a model.

    `max_position_embeddings` is the length before rope scaling for some models and after it for
    others. With linear, dynamic and YaRN scaling, the scaled length is the factor times
    `original_max_position_embeddings`, or times `max_position_embeddings` without that field. The
    longer of the stated and the scaled length counts.

    Args:
        config: a `PreTrainedConfig`.

    Raises:
        CheckpointError: the length or the factor of the scaling is not a number above 0.
    """
    config = config.get_text_config()
    stated = getattr(config, "max_position_embeddings", None)
    if stated is None:
        origin = "assumed: the config has no max_position_embeddings"
        return ContextLength(num_tokens=ASSUMED_TOKENS, is_stated=False, origin=origin)
    _check_number("max_position_embeddings", stated, config)
    scaled = _scaled(config, int(stated))
    if scaled is not None and scaled.num_tokens > stated:
        return scaled
    return ContextLength(
        num_tokens=int(stated), is_stated=True, origin=f"max_position_embeddings = {stated}"
    )


def _scaled(config: Any, stated: int) -> ContextLength | None:
    """The length after rope scaling; None if `max_position_embeddings` states it."""
    rope = _rope_parameters(config)
    rope_type, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if rope_type is None or rope_type in _STATED_ROPE_TYPES or factor is None:
        return None
    if str(config.model_type).startswith(_STATED_MODEL_TYPES):
        return None
    _check_number("factor of the rope scaling", factor, config)
    field, original = "max_position_embeddings", stated
    if rope.get("original_max_position_embeddings") is not None:
        field, original = (
            "original_max_position_embeddings",
            rope["original_max_position_embeddings"],
        )
        _check_number(field, original, config)
    return ContextLength(
        num_tokens=int(original * factor),
        is_stated=True,
        origin=f"{field} = {original}, times {factor:g} by {rope_type} rope scaling",
    )


def _rope_parameters(config: Any) -> dict[str, Any]:
    """The parameters of the layers that see the whole text.

    Layers with a sliding window need none beyond it.
    """
    if not hasattr(type(config), "rope_parameters"):
        return {}  # a model ignores a field that its config class does not declare
    parameters = config.rope_parameters or {}
    if "full_attention" in parameters:
        parameters = parameters["full_attention"] or {}
    return dict(parameters)


def _check_number(name: str, value: object, config: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:  # type: ignore[operator]
        raise CheckpointError(
            f"This {config.model_type} model has {name} = {value!r} in its config; it must be a "
            "number above 0. Correct the config."
        )

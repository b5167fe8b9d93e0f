"""Accounts for the keys of a `config.json`.

Each key is taken by transformers, or changes nothing, or is left over and refused. transformers
itself ignores every key that it does not know, and many public configs have such keys. So the name
decides: a key is refused if it speaks of quantisation, or of something that a model computes and
that no tensor shows (a factor, a cap, a window), unless its value says that there is none.
"""

import dataclasses
import inspect
import math
import re
import sys
from functools import lru_cache
from typing import Any

from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from qstar_infer.checkpoint.inventory import Inventory
from qstar_infer.checkpoint.rope import account_for_rope, contradictions

_DTYPES = ("float64", "float32", "float16", "bfloat16")
_ACTIVATION = re.compile(r"(^|_)(hidden_act|hidden_activation|activation_function)$")
_FACTOR = re.compile(r"(multiplier|scalar|_scaling|_scale)$")
_SIZES = frozenset(
    {
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
    }
)

_ALWAYS_TAKEN = frozenset({"model_type", "architectures", "quantization_config", "is_causal"})
"""transformers reads these for every architecture, and checks of ours refuse what they must."""

_QUANTISATION = re.compile(r"quant|compress|gptq|awq|hqq|aqlm|fp8|fp4|int8|int4|nf4|(^|_)bits($|_)")

_SHARING = re.compile(r"(sequence|tensor|pipeline|context|expert|data)_parallel")
"""In keys about how work is shared by devices."""

_OF_TRAINING = (
    "dropout pdrop layerdrop drop init initializer loss aux coef jitter checkpointing train "
    "training pretraining neftune cache flash kernel kernels implementation std summary classifier"
)
"""Words of keys about training, or about how fast something is computed."""

_UNSEEN = (
    "alibi alpha beta bidirectional cap capping causal clamp clip factor interleave interleaved "
    "limit logit logits mrope mscale multiplier multipliers nope ntk parallel partial residual "
    "rope rotary scalar scale scaled scaling sink sinks sliding softcap softcapping softmax swa "
    "temperature theta tie tied window windows yarn"
)
"""Words of keys that change the numbers and show in no tensor. Sizes, biases, norms and experts are
seen in the tensors, which are accounted for."""

_CHUNKS = "attention_chunk_size"
"""A kind of window. Other keys about chunks say how a text is computed in parts."""


def _changes_numbers(key: str) -> bool:
    """Whether the name of a key speaks of something that a model computes without a tensor."""
    words = set(re.split(r"[^a-z]+", key.lower()))
    is_limit = key.startswith("max_")
    is_of_training = bool(words & set(_OF_TRAINING.split()) or _SHARING.search(key))
    return not (is_limit or is_of_training) and bool(words & set(_UNSEEN.split()))


def account_for_values(values: dict[str, Any], where: str) -> Inventory:
    """Values of a `config.json` with which no model can be built; before transformers reads them.

    Args:
        values: its content.
        where: the file.
    """
    inventory = Inventory(
        where=where, kind="key", advice="Correct it, or fetch or save the checkpoint again."
    )
    for name, value in _leaves(values):
        if isinstance(value, float) and not math.isfinite(value):
            inventory.unfit[name] = f"is {value}; numbers must be finite"
    for key, value in values.items():
        why = _wrong_value(key, value)
        if why is not None:
            inventory.unfit[key] = why
    return inventory


def _wrong_value(key: str, value: Any) -> str | None:
    """Why a value cannot be right; None if it can."""
    if key in ("dtype", "torch_dtype") and value is not None and value not in _DTYPES:
        return f"is {value!r}; it must be one of {', '.join(_DTYPES)}"
    if _ACTIVATION.search(key) and isinstance(value, str) and value not in ACT2FN:
        return f"is {value!r}, which transformers does not know"
    if _FACTOR.search(key) and _is_number(value) and value <= 0:
        return f"is {value}; it must be a positive number"
    if key == "return_dict" and value is False:
        return "is false, and then the model's own forward pass fails"
    if key == "sliding_window" and type(value) is int and value < 0:
        return f"is {value}; it must be positive, or null for no window"
    if key in _SIZES and type(value) is int and value < 1:
        return f"is {value}; it must be at least 1"
    return None


def account_for_keys(values: dict[str, Any], config: PreTrainedConfig, where: str) -> Inventory:
    """What of a `config.json` the model uses.

    Args:
        values: its content.
        config: what transformers made of it.
        where: the file.
    """
    inventory = Inventory(
        where=where, kind="key", advice="Correct it, or fetch or save the checkpoint again."
    )
    _sort(values, config, inventory, prefix="")
    inventory.unfit |= contradictions(values, config)
    return inventory


def _sort(
    values: dict[str, Any], config: PreTrainedConfig, inventory: Inventory, *, prefix: str
) -> None:
    code = _code(type(config))
    for key, value in values.items():
        part = vars(config).get(key)
        if isinstance(part, PreTrainedConfig) and isinstance(value, dict):
            _sort(value, part, inventory, prefix=f"{prefix}{key}.")
        elif _is_taken(key, config, code):
            inventory.used.add(prefix + key)
        elif value in (None, False, 0, 1, "", [], {}) and value is not True:
            inventory.without_effect[prefix + key] = "its value says that there is none"
        elif (meaning := _meaning(key, value, type(config).__name__)) is not None:
            inventory.left_over[prefix + key] = meaning
        else:
            inventory.without_effect[prefix + key] = (
                "transformers ignores it, and its name says nothing about the numbers"
            )
    account_for_rope(config, code, inventory)


def _is_taken(key: str, config: PreTrainedConfig, code: str) -> bool:
    """Whether transformers' code for this architecture takes a key."""
    declared = {
        field.name for field in dataclasses.fields(type(config))
    } | config.attribute_map.keys()
    return (
        key in declared
        or key in _ALWAYS_TAKEN
        or key not in vars(config)  # its constructor turned it into something else
        or re.search(rf"""(config\.|["']){re.escape(key)}\b""", code) is not None
    )


def _meaning(key: str, value: Any, kind: str) -> str | None:
    """What a key that transformers does not take says; None if nothing about the numbers."""
    if _QUANTISATION.search(key.lower()) or _names_quantisation(value):
        return (
            f"{key} says that the weights are quantised or compressed, and only bitsandbytes is "
            "supported. Load the unquantised checkpoint, with quantization='int8' or 'nf4'."
        )
    if key.startswith("_"):
        return None  # notes of the program that saved it
    if not (_changes_numbers(key) or value == "alibi" or key == _CHUNKS):
        return None
    return (
        f"{kind} of transformers has no {key} (here {value!r}). Remove it if the model does not "
        "need it; if it does, the checkpoint needs code of its own and cannot be loaded."
    )


def _names_quantisation(value: Any) -> bool:
    return any(name.rpartition(".")[2] == "quant_method" for name, _ in _leaves(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values of everything in nested JSON that is not itself a container."""
    found: list[tuple[str, Any]] = []
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}".lstrip("."), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in value]
        else:
            found.append((name, value))
    return found


def _code(kind: type[PreTrainedConfig]) -> str:
    """The source code of an architecture: of its config, and of its model."""
    modules = {kind.__module__}
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING:
        modules.add(MODEL_FOR_CAUSAL_LM_MAPPING[kind].__module__)
    return "\n".join(_source(name) for name in sorted(modules))


@lru_cache
def _source(module: str) -> str:
    return inspect.getsource(sys.modules[module])

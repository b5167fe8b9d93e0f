"""Accounts for the rope parameters of a config: what transformers reads of them, and what not."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from qstar_infer.checkpoint.inventory import Inventory

_READ_BY_DEFAULT_ROPE = frozenset({"rope_theta"})
_WITHOUT_EFFECT = {
    "type": "an older name of rope_type",
    "rope_type": "it names the computation",
    "finetuned": "it says how the model was trained",
    "original_max_position_embeddings": "this rope type does not read it",
}


def rope_sets(config: PreTrainedConfig) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Layer type and rope parameters; one set without a layer type, or one per layer type."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = {key: value for key, value in parameters.items() if isinstance(value, dict)}
    if not nested:
        yield None, parameters
    yield from nested.items()


def depends_on_length(rope: dict[str, Any]) -> bool:
    """Whether the angle of a position changes when the text grows.

    LongRoPE has one set of factors up to the original length and another after it. If both are the
    same, it rotates each frequency by a factor of its own, at any length.
    """
    rope_type = rope.get("rope_type")
    if rope_type != "longrope":
        return "dynamic" in str(rope_type)
    kinds = ("factor", "mscale")
    return any(rope.get(f"short_{kind}") != rope.get(f"long_{kind}") for kind in kinds)


def account_for_rope(config: PreTrainedConfig, code: str, inventory: Inventory) -> None:
    """Add the rope parameters of a config to the inventory of its keys.

    Args:
        config: a config that transformers has standardised.
        code: the source code of its architecture, which may read parameters of its own.
        inventory: of kind "key".
    """
    for layer_type, rope in rope_sets(config):
        where = "rope_parameters." + ("" if layer_type is None else f"{layer_type}.")
        wrong = [(key, _wrong_value(key, value)) for key, value in rope.items()]
        inventory.unfit |= {where + key: why for key, why in wrong if why is not None}
        rope_type = rope.get("rope_type", "default")
        if rope_type not in ("default", *ROPE_INIT_FUNCTIONS):
            inventory.unfit[f"{where}rope_type"] = f"is {rope_type!r}, which transformers lacks"
        elif rope.get("type", rope_type) != rope_type:
            inventory.unfit[f"{where}type"] = f"is {rope['type']!r}, and rope_type is {rope_type!r}"
        if inventory.unfit:
            continue
        try:
            read = _keys_read(config, layer_type, str(rope_type))
        except Exception as error:  # a missing or malformed parameter ends in many types
            inventory.unfit[f"{where}rope_type"] = (
                f"is {rope_type!r}, for which transformers fails: {type(error).__name__}: {error}"
            )
            continue
        _sort(rope, read, code, inventory, where=where)


def contradictions(values: dict[str, Any], config: PreTrainedConfig) -> dict[str, str]:
    """Keys of a `config.json` that state other rope parameters than the ones in use, and why.

    A file may state them in three places, of which transformers keeps one without a word.

    Args:
        values: the content of the file.
        config: what transformers made of it.
    """
    stated = {"rope_theta": {"rope_theta": values.get("rope_theta")}}
    if values.get("rope_scaling") and isinstance(values.get("rope_parameters"), dict):
        stated["rope_parameters"] = values["rope_parameters"]
    wrong: dict[str, str] = {}
    for place, parameters in stated.items():
        for key, value in parameters.items():
            kept = [rope[key] for _, rope in rope_sets(config) if key in rope]
            if kept and value is not None and value not in kept:
                wrong[place] = (
                    f"states {key} = {value!r}, and another key of the file states {kept[0]!r}"
                )
    return wrong


def _sort(
    rope: dict[str, Any], read: set[str], code: str, inventory: Inventory, *, where: str
) -> None:
    for key, value in rope.items():
        if key in read or f'"{key}"' in code:
            inventory.used.add(where + key)
        elif key in _WITHOUT_EFFECT:
            inventory.without_effect[where + key] = _WITHOUT_EFFECT[key]
        elif value in (None, False, 0, 1, "", [], {}):
            inventory.without_effect[where + key] = "its value changes nothing"
        else:
            inventory.left_over[where + key] = (
                f"{where}{key} = {value!r} is not read for rope_type {rope.get('rope_type')!r}: "
                "correct the type, or remove the key."
            )


class _Recorder(dict[str, Any]):
    """A dictionary that remembers which keys were read."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


def _keys_read(config: PreTrainedConfig, layer_type: str | None, rope_type: str) -> set[str]:
    """The rope parameters that transformers' own computation of the frequencies reads."""
    if rope_type == "default":
        return set(_READ_BY_DEFAULT_ROPE)
    config = copy.deepcopy(config)
    parameters: Any = config.rope_parameters
    recorder = _Recorder(parameters if layer_type is None else parameters[layer_type])
    config.rope_parameters = (
        recorder if layer_type is None else {**parameters, layer_type: recorder}
    )
    frequencies, factor = ROPE_INIT_FUNCTIONS[rope_type](
        config, torch.device("cpu"), layer_type=layer_type
    )
    if not (bool(torch.isfinite(frequencies).all()) and math.isfinite(factor)):
        raise ValueError("its frequencies are not finite")
    return recorder.read


def _wrong_value(key: str, value: Any) -> str | None:
    """Why a rope parameter cannot be right; None if it can."""
    if isinstance(value, list) and key not in ("rope_type", "type"):
        wrong = [_wrong_value(key, item) for item in value if not isinstance(item, str)]
        return next((why for why in wrong if why is not None), None)
    if key in ("rope_type", "type"):
        return None if isinstance(value, str) else f"is {value!r}; it must be a name"
    if key == "rope_theta" and type(value) not in (int, float):
        return f"is {value!r}; it must be a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or value < 0 or (value == 0 and key == "rope_theta"):
        return f"is {value!r}; it must be a positive number"
    return None

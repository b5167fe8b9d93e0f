"""Reads the keys of a GGUF file and accounts for each of them.

A key is honoured by a rule that asks for it, is known to change nothing, or is refused by name.
"""

import math
from typing import NoReturn, TypeVar, cast

from qstar_infer.checkpoint.gguf.header import GgufHeader, Value
from qstar_infer.checkpoint.inventory import Inventory, judge

Scalar = TypeVar("Scalar", int, float, bool, str)

_HEADER_KEYS = frozenset(
    {"general.architecture", "general.alignment", "split.no", "split.count", "split.tensors.count"}
)
"""Honoured when the header is read."""

_NEUTRAL: dict[str, tuple[Value, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "attention.sliding_window": (0,),
    "attn_logit_softcapping": (0.0,),
    "embedding_scale": (1.0,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "final_logit_softcapping": (0.0,),
    "logit_scale": (1.0,),
    "nextn_predict_layers": (0,),
    "residual_scale": (1.0,),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_beta_fast": (32.0,),
    "rope.scaling.yarn_beta_slow": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0,),
    "use_parallel_residual": (False,),
}
"""Key of an architecture -> values with which it changes nothing."""

_WITHOUT_EFFECT = {
    "rope.scaling.finetuned": "it only records how the model was trained",
    "tensor_data_layout": "it only records how the file was written",
}
_MOST = 2**31 - 1
"""The largest count that is taken seriously."""
_UNKNOWN = (
    "It may change the numbers, and nothing here computes it: use the original checkpoint, or a "
    "file without it."
)


class KeyReader:
    """Hands out the keys of one file, by their names without the architecture's prefix."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.inventory = Inventory(where=str(header.path), kind="key")

    def get(self, name: str, kind: type[Scalar]) -> Scalar:
        """The value of a key that the file must have.

        A list with one value for each layer counts if all are equal.

        Args:
            name: beginning with "tokenizer." or "general.", or a key of the architecture.
            kind: int, float, bool or str; the file must hold exactly this.

        Raises:
            CheckpointError: the key is missing, or has a value of another kind.
        """
        value = self.get_optional(name, kind)
        if value is None:
            self.report_missing(name)
        return value

    def get_or(self, name: str, default: Scalar) -> Scalar:
        """As `get`, with llama.cpp's default for a file without the key."""
        value = self.get_optional(name, type(default))
        return default if value is None else value

    def get_optional(self, name: str, kind: type[Scalar]) -> Scalar | None:
        """As `get`; None for a file without the key."""
        full = self.full_name(name)
        if full not in self.header.keys:
            return None
        value = self.header.keys[full]
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            self.refuse(full, f"is {_shown(value)}, where one {_KINDS[kind]} is expected")
        self.inventory.used.add(full)
        return value

    def get_count(self, name: str, *, default: int | None = None) -> int:
        """As `get`, for a number of things, of which there is at least one."""
        count = self.get(name, int) if default is None else self.get_or(name, default)
        if not 1 <= count <= _MOST:
            self.refuse(self.full_name(name), f"is {count}, not between 1 and {_MOST}")
        return count

    def get_list(self, name: str, kind: type[Scalar]) -> list[Scalar] | None:
        """The list that a key holds; None without the key.

        Raises:
            CheckpointError: it is not a list of this kind.
        """
        full = self.full_name(name)
        value = self.header.keys.get(full)
        if value is None:
            return None
        if not isinstance(value, list) or any(type(each) is not kind for each in value):
            self.refuse(full, f"is {_shown(value)}, where a list of {_KINDS[kind]}s is expected")
        self.inventory.used.add(full)
        return cast(list[Scalar], value)

    def expect(self, name: str, value: int, what: str) -> None:
        """Check that a key, if the file has it, equals what the model has.

        Raises:
            CheckpointError: it differs.
        """
        held = self.get_or(name, value)
        if held != value:
            self.refuse(self.full_name(name), f"is {held}, but {what} is {value}")

    def report_missing(self, name: str) -> NoReturn:
        """Raise for a key that the file must have."""
        self.inventory.missing.add(self.full_name(name))
        judge(self.inventory)
        raise AssertionError("a missing key is refused")

    def refuse(self, full: str, why: str) -> NoReturn:
        """Raise for a key whose value cannot be honoured.

        Args:
            full: its whole name.
            why: a clause after the name.
        """
        self.inventory.unfit[full] = why
        judge(self.inventory)
        raise AssertionError("an unfit key is refused")

    def full_name(self, name: str) -> str:
        """The name of a key in the file."""
        prefixed = name.startswith(("tokenizer.", "general."))
        return name if prefixed else f"{self.header.architecture}.{name}"

    def account_for_the_rest(self) -> None:
        """Sort the keys that no rule asked for, and judge.

        Raises:
            CheckpointError: a key may change the numbers or the tokens.
        """
        own = f"{self.header.architecture}."
        if self.get_or("general.type", "model") != "model":
            self.refuse("general.type", "is not 'model': the file holds a part of one")
        for full, value in self.header.keys.items():
            if full in self.inventory.used:
                continue
            if full in _HEADER_KEYS:
                self.inventory.used.add(full)
            elif full.startswith("tokenizer."):
                self.inventory.left_over[full] = _UNKNOWN
            elif not full.startswith(own):
                self.inventory.without_effect[full] = "no model reads a key of this name"
            else:
                self._account_for(full, full.removeprefix(own), value)
        judge(self.inventory)

    def _account_for(self, full: str, name: str, value: Value) -> None:
        if name in _WITHOUT_EFFECT:
            self.inventory.without_effect[full] = _WITHOUT_EFFECT[name]
        elif name in _NEUTRAL and value in _NEUTRAL[name]:
            self.inventory.without_effect[full] = "its value changes nothing"
        else:
            self.inventory.left_over[full] = f"{full} is {_shown(value)}. {_UNKNOWN}"


_KINDS: dict[type, str] = {int: "integer", float: "float", bool: "bool", str: "string"}


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."

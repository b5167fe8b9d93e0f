"""Turns a GGUF file's rope keys and factors into transformers' `rope_parameters`."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType

from qstar_infer.checkpoint.gguf.data import read_values
from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.errors import CheckpointError

FREQ_FACTORS = "rope_freqs.weight"
SHORT_FACTORS, LONG_FACTORS = "rope_factors_short.weight", "rope_factors_long.weight"
"""Tensors that become part of the config; the first in Llama 3.1, the other two in Phi 3."""

Factors = list[list[float]]
"""A divisor for each frequency: up to the original length, and after it."""

_DEFAULT_BASE = 10000.0


def rope_parameters(keys: KeyReader, *, num_dims: int, context_length: int) -> dict[str, Any]:
    """How positions rotate, as transformers' config says it.

    Args:
        keys: of the file.
        num_dims: how many dimensions of a head rotate.
        context_length: of the model.

    Raises:
        CheckpointError: the file asks for a rotation that transformers has no name for.
    """
    base = keys.get_or("rope.freq_base", _DEFAULT_BASE)
    old_factor = keys.get_or("rope.scale_linear", 0.0)
    scaling = _Scaling(
        kind=keys.get_or("rope.scaling.type", "linear"),
        factor=keys.get_or("rope.scaling.factor", old_factor) or 1.0,
        original=keys.get_or("rope.scaling.original_context_length", context_length),
        attention=keys.get_or("rope.scaling.attn_factor", 1.0),
    )
    if base <= 0:
        keys.refuse(keys.full_name("rope.freq_base"), f"is {base}, not above 0")
    factors = _factors(keys.header, num_dims, is_long=context_length > scaling.original)
    problem = scaling.problem(factors)
    if problem:
        keys.refuse(keys.full_name("rope.scaling.type"), problem)
    return {"rope_theta": base} | scaling.parameters(factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scaling:
    """The keys `rope.scaling.*`."""

    kind: str
    factor: float
    original: int
    """Length before scaling."""
    attention: float
    """By how much the rotated vectors grow."""

    def problem(self, factors: Factors | None) -> str:
        """Why this has no counterpart in transformers; "" if it has."""
        if self.kind not in ("none", "linear", "yarn", "longrope"):
            return f"is {self.kind!r}, which is not a known way to scale positions"
        if self.factor <= 0:
            return f"comes with a factor of {self.factor}, not above 0"
        if self.kind == "longrope" and factors is None:
            return f"is 'longrope', and the file has no {SHORT_FACTORS} and {LONG_FACTORS}"
        if self.kind == "yarn" and factors is not None:
            return "is 'yarn' in a file with a factor for each frequency"
        if self.kind in ("none", "linear") and factors is None and self.attention != 1.0:
            return f"is {self.kind!r} in a file with rope.scaling.attn_factor = {self.attention}"
        return ""

    def parameters(self, factors: Factors | None) -> dict[str, Any]:
        """transformers' name and values for this."""
        factor = self.factor if self.kind in ("linear", "yarn") else 1.0
        if factors is not None:
            return self._long_rope([[factor * each for each in one] for one in factors])
        if self.kind == "yarn":
            # transformers replaces its own default by this one.
            default = 0.1 * math.log(max(factor, 1.0)) + 1.0
            return {
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": self.original,
                "attention_factor": default * self.attention,
            }
        if factor == 1.0:
            return {"rope_type": "default"}
        return {"rope_type": "linear", "factor": factor}

    def _long_rope(self, factors: Factors) -> dict[str, Any]:
        short, long = factors
        if self.attention == 1.0 and set(short + long) == {1.0}:
            return {"rope_type": "default"}
        return {
            "rope_type": "longrope",
            "short_factor": short,
            "long_factor": long,
            "factor": 1.0,
            "attention_factor": self.attention,
            "original_max_position_embeddings": self.original,
        }


def _factors(header: GgufHeader, num_dims: int, *, is_long: bool) -> Factors | None:
    """Divisors of the frequencies; None if the file has none.

    As in llama.cpp, the first ones serve every length if the context is not extended.
    """
    if FREQ_FACTORS in header.tensors:
        factors = _read_factors(header, FREQ_FACTORS, num_dims)
        return [factors, factors]
    missing = {SHORT_FACTORS, LONG_FACTORS} - set(header.tensors)
    if len(missing) == 2:
        return None
    judge(Inventory(where=str(header.path), kind="tensor", missing=missing))
    short, long = (_read_factors(header, name, num_dims) for name in (SHORT_FACTORS, LONG_FACTORS))
    return [short, long if is_long else short]


def _read_factors(header: GgufHeader, name: str, num_dims: int) -> list[float]:
    tensor = header.tensors[name]
    if tensor.shape != (num_dims // 2,) or tensor.type is not GGMLQuantizationType.F32:
        raise CheckpointError(
            f"{name} in {header.path} has shape {list(tensor.shape)} and type {tensor.type.name}, "
            f"but {num_dims} rotated dimensions ask for [{num_dims // 2}] and F32. The file is "
            "damaged: fetch it again."
        )
    factors = read_values(header.path, tensor)
    if not bool(np.all(np.isfinite(factors) & (factors > 0))):
        raise CheckpointError(
            f"{name} in {header.path} has values that are not above 0. The file is damaged: "
            "fetch it again."
        )
    values: list[float] = factors.tolist()
    return values

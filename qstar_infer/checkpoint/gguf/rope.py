"""Turns a GGUF file's rope keys and factors into transformers' `rope_parameters`."""

import math
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType

from qstar_infer.checkpoint.gguf.data import read_values
from qstar_infer.checkpoint.gguf.header import GgufHeader
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.errors import CheckpointError

FREQ_FACTORS = "rope_freqs.weight"
SHORT_FACTORS, LONG_FACTORS = "rope_factors_short.weight", "rope_factors_long.weight"
FACTOR_TENSORS = frozenset({FREQ_FACTORS, SHORT_FACTORS, LONG_FACTORS})
"""Tensors that become part of the config. Llama 3.1 and Phi 3 have them."""

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
    base = keys.get("rope.freq_base", float, default=_DEFAULT_BASE)
    kind = keys.get("rope.scaling.type", str, default="linear")
    old_factor = keys.get("rope.scale_linear", float, default=0.0)
    factor = keys.get("rope.scaling.factor", float, default=old_factor) or 1.0
    original = keys.get("rope.scaling.original_context_length", int, default=context_length)
    attention = keys.get("rope.scaling.attn_factor", float, default=1.0)
    factors = _factors(keys.header, num_dims, wants_short=context_length <= original)
    name = keys.full_name("rope.scaling.type")
    if kind not in ("none", "linear", "yarn", "longrope"):
        keys.refuse(name, f"is {kind!r}, which is not a known way to scale positions")
    if factors is not None:
        if kind == "yarn":
            keys.refuse(name, "is 'yarn' in a file with factors for each frequency")
        scaled = [[factor * each for each in one] for one in factors] if kind == "linear" else factors
        scaling = _long_rope(scaled, original=original, attention=attention)
    elif kind == "longrope":
        keys.refuse(name, f"is 'longrope', and the file has no {SHORT_FACTORS}")
    elif kind == "yarn":
        # transformers' own default, times what the file adds.
        attention *= 0.1 * math.log(max(factor, 1.0)) + 1.0
        scaling = {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original,
            "attention_factor": attention,
        }
    else:
        if attention != 1.0:
            keys.refuse(
                keys.full_name("rope.scaling.attn_factor"), f"is {attention} with {kind} scaling"
            )
        scaled_by = factor if kind == "linear" else 1.0
        scaling = {"rope_type": "default"}
        if scaled_by != 1.0:
            scaling = {"rope_type": "linear", "factor": scaled_by}
    return {"rope_theta": base} | scaling


def _long_rope(
    factors: list[list[float]], *, original: int, attention: float
) -> dict[str, Any]:
    """One factor for each frequency. `short_factor` is used up to the original length."""
    short, long = factors
    if attention == 1.0 and all(each == 1.0 for each in short + long):
        return {"rope_type": "default"}
    return {
        "rope_type": "longrope",
        "short_factor": short,
        "long_factor": long,
        "factor": 1.0,
        "attention_factor": attention,
        "original_max_position_embeddings": original,
    }


def _factors(header: GgufHeader, num_dims: int, *, wants_short: bool) -> list[list[float]] | None:
    """Factors up to the original length, and after it; None if the file has none.

    As in llama.cpp, the same ones serve both if the model's context is not longer than the original.
    """
    if FREQ_FACTORS in header.tensors:
        factors = _read_factors(header, FREQ_FACTORS, num_dims)
        return [factors, factors]
    if SHORT_FACTORS not in header.tensors or LONG_FACTORS not in header.tensors:
        return None
    short, long = (_read_factors(header, name, num_dims) for name in (SHORT_FACTORS, LONG_FACTORS))
    return [short, short if wants_short else long]


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

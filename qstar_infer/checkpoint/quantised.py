"""Accounts for the tensors of weights that bitsandbytes has quantised.

Each quantised weight is stored as several tensors. A complete set stands for one float weight, so
the rest of the accounting sees an ordinary checkpoint.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from qstar_infer.checkpoint.inventory import FETCH_AGAIN, Inventory
from qstar_infer.checkpoint.tensors import (
    TensorHeader,
    backbone_tensor_files,
    read_tensor,
)
from qstar_infer.errors import CheckpointError

_STATE = ".quant_state.bitsandbytes__"
_STANDS_FOR = "F16"
"""Dtype of the float weight that a set of parts stands for; any floating dtype would do."""
_PACKED_BYTES = {"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4}
"""Dtypes that packed 4-bit weights are stored in, with their sizes."""

Headers = dict[str, TensorHeader]
Wanted = dict[str, tuple[str, tuple[int, ...]]]
"""Name -> dtype and shape."""


def check_quantised_layers(backbone: PreTrainedModel, directory: Path, *, prefix: str = "") -> None:
    """Check that the layers which bitsandbytes computes are those whose weights it has quantised.

    transformers takes the layers from config.json, and would compute with a weight of another kind
    as if it were one.

    Args:
        backbone: loaded, without `quantization` among its options.
        directory: where from.
        prefix: comes before the names of the backbone's tensors in the files.

    Raises:
        CheckpointError: they differ; the message names one.
    """
    names = [name.removeprefix(prefix) for name in backbone_tensor_files(directory)]
    stored = {name.rpartition(_STATE)[0]: "4-bit" for name in names if _STATE in name}
    stored |= {
        f"{name.removesuffix('.SCB')}.weight": "int8" for name in names if name.endswith(".SCB")
    }
    base = f"{backbone.base_model_prefix}."
    stored = {name.removeprefix(base): kind for name, kind in stored.items()}
    kinds = {"Linear4bit": "4-bit", "Linear8bitLt": "int8"}
    computed = {
        f"{name.removeprefix(base)}.weight": kinds[type(layer).__name__]
        for name, layer in backbone.named_modules()
        if type(layer).__name__ in kinds
    }
    for name in sorted(stored.keys() | computed.keys()):
        held, asked = stored.get(name, "not quantised"), computed.get(name, "not quantised")
        if held != asked:
            raise CheckpointError(
                f"{name} in {directory} is {held}, and by quantization_config in config.json it is "
                f"{asked}. {FETCH_AGAIN}"
            )


def merge_quantised(headers: Headers, inventory: Inventory) -> None:
    """Replace the parts of each quantised weight by the header of the weight that they stand for.

    Args:
        headers: name -> header; changed.
        inventory: gets the parts as used, missing or unfit.
    """
    four_bit = {name.rpartition(_STATE)[0] for name in headers if _STATE in name}
    four_bit |= {name.removesuffix(".absmax") for name in headers if name.endswith(".absmax")}
    int8 = {f"{name.removesuffix('.SCB')}.weight" for name in headers if name.endswith(".SCB")}
    for weight in sorted(four_bit):
        _merge_four_bit(weight, headers, inventory)
    for weight in sorted(int8 - four_bit):
        _merge_int8(weight, headers, inventory)


def _merge_four_bit(weight: str, headers: Headers, inventory: Inventory) -> None:
    state_name = next((name for name in headers if name.startswith(weight + _STATE)), None)
    if state_name is None:
        inventory.missing.add(f"{weight}{_STATE}nf4")
        _take([name for name in headers if name.startswith(weight)], headers, inventory)
        return
    header = headers[state_name]
    try:
        state = _read_state(header)
        wanted = _four_bit_parts(weight, state)
        shape = tuple(int(size) for size in state["shape"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        inventory.unfit[state_name] = f"is not the state of a 4-bit weight ({error!r})"
        _take([name for name in headers if name.startswith(weight)], headers, inventory)
        return
    _check_packed(weight, math.ceil(math.prod(shape) / 2), headers, inventory)
    _check_parts(wanted, headers, inventory)
    _take([weight, state_name, *wanted], headers, inventory)
    headers[weight] = replace(header, dtype=_STANDS_FOR, shape=shape)


def _merge_int8(weight: str, headers: Headers, inventory: Inventory) -> None:
    if weight not in headers:
        inventory.missing.add(weight)
        return
    stored = headers[weight]
    layer = weight.removesuffix("weight")
    wanted: Wanted = {
        weight: ("I8", stored.shape),
        f"{layer}SCB": ("F32", stored.shape[:1]),
        f"{layer}weight_format": ("U8", ()),
    }
    _check_parts(wanted, headers, inventory)
    _take(list(wanted), headers, inventory)
    headers[weight] = replace(stored, dtype=_STANDS_FOR)


def _read_state(header: TensorHeader) -> dict[str, Any]:
    content = json.loads(bytes(read_tensor(header).tolist()))
    if not isinstance(content, dict):
        raise TypeError(f"it holds {type(content).__name__}")
    return content


def _four_bit_parts(weight: str, state: dict[str, Any]) -> Wanted:
    """The tensors that the state of a 4-bit weight asks for, beside the weight itself."""
    blocks = math.ceil(math.prod(state["shape"]) / state["blocksize"])
    parts: Wanted = {
        f"{weight}.absmax": ("F32", (blocks,)),
        f"{weight}.quant_map": ("F32", (16,)),
    }
    if "nested_blocksize" in state:
        outer = math.ceil(blocks / state["nested_blocksize"])
        parts |= {
            f"{weight}.absmax": ("U8", (blocks,)),
            f"{weight}.nested_absmax": ("F32", (outer,)),
            f"{weight}.nested_quant_map": ("F32", (256,)),
        }
        if not math.isfinite(state["nested_offset"]):
            raise ValueError("its nested_offset is not finite")
    return parts


def _check_packed(weight: str, num_bytes: int, headers: Headers, inventory: Inventory) -> None:
    """Two 4-bit values are in a byte; the bytes may be stored as numbers of a wider dtype."""
    header = headers.get(weight)
    if header is None:
        inventory.missing.add(weight)
    elif math.prod(header.shape) * _PACKED_BYTES.get(header.dtype, 0) != num_bytes:
        inventory.unfit[weight] = (
            f"is {header.dtype} of shape {list(header.shape)}, where its quantisation state asks "
            f"for {num_bytes} bytes"
        )


def _check_parts(wanted: Wanted, headers: Headers, inventory: Inventory) -> None:
    for name, (dtype, shape) in wanted.items():
        header = headers.get(name)
        if header is None:
            inventory.missing.add(name)
        elif (header.dtype, header.shape) != (dtype, shape):
            inventory.unfit[name] = (
                f"is {header.dtype} of shape {list(header.shape)}, where the quantised weight asks "
                f"for {dtype} of shape {list(shape)}"
            )
        elif dtype == "F32" and not torch.isfinite(read_tensor(header)).all():
            inventory.unfit[name] = "has values that are NaN or infinite"


def _take(names: list[str], headers: Headers, inventory: Inventory) -> None:
    """Move names from the headers to the used ones."""
    for name in names:
        if headers.pop(name, None) is not None:
            inventory.used.add(name)

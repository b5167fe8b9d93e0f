"""Accounts for the tensors of safetensors files, without loading them.

transformers itself loads the model, from the shapes and dtypes in the headers and on the meta
device. So its renamings and conversions of weights apply, and its report says what it would miss
and leave out.
"""

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from qstar_infer.checkpoint.inventory import Inventory
from qstar_infer.checkpoint.quantised import merge_quantised
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.recomputed import difference_to_recomputed, is_recomputed
from qstar_infer.checkpoint.tensors import (
    FLOATS,
    TensorHeader,
    backbone_tensor_files,
    read_tensor,
    tensor_headers,
)

_SCALE = re.compile(
    r"(scale|scales|scale_inv|scale_2|SCB|qweight|qzeros|g_idx|zero_point|absmax|amax|codebook)$"
)
_SCALED = (
    "They are scaled 8-bit or 4-bit weights, and config.json names no quantisation that is "
    "supported. Load the unquantised checkpoint, with quantization='int8' or 'nf4'."
)


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A model on the meta device, and the headers it was loaded from."""

    headers: dict[str, TensorHeader]
    model: PreTrainedModel

    @cached_property
    def state(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def parameter(self, name: str) -> str | None:
        """The parameter that a stored name fills; None if it fills none, or a part of one."""
        prefix = f"{self.model.base_model_prefix}."
        for candidate in (name, f"{prefix}{name}", name.removeprefix(prefix)):
            if candidate in self.state:
                return candidate
        return None

    def is_ignored(self, name: str) -> bool:
        """Whether the class leaves out this name."""
        patterns = self.model._keys_to_ignore_on_load_unexpected or ()
        return any(re.search(pattern, name) for pattern in patterns)


def account_for_tensors(
    directory: Path, config: PreTrainedConfig, *, ignored: Collection[str] = (), prefix: str = ""
) -> Inventory:
    """What of the weights in a directory the model of this config uses. Reads only headers.

    A few small tensors are read to compare them: tied embeddings and recomputed buffers.

    Args:
        directory: holds safetensors.
        config: of the model.
        ignored: names of tensors that are not the model's.
        prefix: comes before the names of the model's tensors in the files.

    Raises:
        CheckpointError: no weights, a damaged file, or the model cannot be built.
    """
    inventory = Inventory(where=str(directory), kind="tensor")
    stored = tensor_headers(backbone_tensor_files(directory))
    rest = [name for name in stored if name not in set(ignored)]
    inventory.left_over |= {name: _meaning(name) for name in rest if not name.startswith(prefix)}
    headers = {name.removeprefix(prefix): stored[name] for name in rest if name.startswith(prefix)}
    config = copy.deepcopy(config)
    if getattr(config, "quantization_config", None) is not None:
        merge_quantised(headers, inventory)
        del config.quantization_config
    advice = "If its files are complete, this version of transformers may be too old for it."
    with third_party(f"The model in {directory}", advice):
        model, report = _load_from_headers(headers, config)
        inventory.missing |= set(report["missing_keys"])
        for name, held, wanted in report["mismatched_keys"]:
            inventory.unfit[name] = (
                f"has shape {list(held)}, but config.json asks for {list(wanted)}"
            )
        inventory.left_over |= {name: _meaning(name) for name in report["unexpected_keys"]}
        loaded = _Loaded(headers=headers, model=model)
        for explain in (_explain_unused, _check_dtypes, _check_doubles, _check_ties):
            explain(inventory, loaded)
    not_used = {*inventory.unfit, *inventory.left_over, *inventory.without_effect}
    inventory.used |= headers.keys() - not_used
    return inventory


def _load_from_headers(
    headers: dict[str, TensorHeader], config: PreTrainedConfig
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model on the meta device, and transformers' report of loading it."""
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    weights = {
        name: torch.empty(
            header.shape, dtype=FLOATS.get(header.dtype, torch.float32), device="meta"
        )
        for name, header in headers.items()
    }
    model, report = kind.from_pretrained(
        None,
        config=config,
        state_dict=weights,
        device_map={"": "meta"},
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # reported, and refused
    )
    return model, report


def _meaning(name: str) -> str:
    if name == "lm_head.bias":
        return (
            "The output embedding of this architecture has no bias; dropping it would change the "
            "text. Use another base model."
        )
    return _SCALED if _SCALE.search(name) else ""


def _explain_unused(inventory: Inventory, loaded: _Loaded) -> None:
    """Find the reason for each tensor that the model leaves out.

    transformers does not report all of them: some it leaves out for each class, some for all.
    """
    for name, header in loaded.headers.items():
        if loaded.parameter(name) is not None:
            continue
        if is_recomputed(name, header.shape):
            inventory.left_over.pop(name, None)
            difference = difference_to_recomputed(
                name, read_tensor(loaded.headers[name]), loaded.model
            )
            if difference is None:
                inventory.without_effect[name] = "the model computes it by itself"
            else:
                inventory.unfit[name] = difference
        elif loaded.is_ignored(name):
            inventory.without_effect[name] = (
                f"{type(loaded.model).__name__} of transformers leaves it out"
            )


def _check_dtypes(inventory: Inventory, loaded: _Loaded) -> None:
    for name, header in loaded.headers.items():
        if header.dtype in FLOATS or name in {*inventory.left_over, *inventory.without_effect}:
            continue
        parameter = loaded.parameter(name)
        wanted = loaded.state[parameter].dtype if parameter is not None else torch.float32
        if wanted.is_floating_point:
            inventory.unfit[name] = (
                f"is stored as {header.dtype}, which is no format of unquantised weights"
            )
            inventory.advice = _SCALED


def _check_doubles(inventory: Inventory, loaded: _Loaded) -> None:
    """Find parameters that two tensors would fill, as `model.x` and `x`; one would be lost."""
    seen: dict[str, str] = {}
    for name in loaded.headers:
        parameter = loaded.parameter(name)
        if parameter is not None and seen.setdefault(parameter, name) != name:
            inventory.unfit[name] = f"is the same parameter as {seen[parameter]}"


def _check_ties(inventory: Inventory, loaded: _Loaded) -> None:
    """Find tensors that are tied by the config and stored with different values."""
    names = {loaded.parameter(name): name for name in loaded.headers}
    for target, source in (loaded.model.all_tied_weights_keys or {}).items():
        if target not in names or source not in names:
            continue
        copy_, original = names[target], names[source]
        copied, first = (read_tensor(loaded.headers[name]) for name in (copy_, original))
        if torch.equal(copied.float(), first.float()):
            inventory.without_effect[copy_] = f"it equals {original}, to which config.json ties it"
        else:
            inventory.unfit[copy_] = (
                f"differs from {original}, though config.json ties the two "
                "(tie_word_embeddings = true)"
            )
            inventory.advice = (
                "Set tie_word_embeddings to false in config.json if the stored output embedding is "
                f"meant, or remove {copy_} if it is not."
            )

"""Puts an adapter into its base model as peft does, and accounts for each of its tensors."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter.config import ADAPTER_NAME, ADAPTER_TENSORS, PEFT_PREFIX
from qstar_infer.checkpoint.adapter.quiet import quiet_peft
from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.tensors import (
    check_finite,
    check_float_headers,
    headers_of,
    read_tensors,
)
from qstar_infer.errors import CheckpointError

ADVICE = "Check that the adapter was made for this base model."


def attach_adapter(
    backbone: PreTrainedModel,
    directory: Path,
    config: LoraConfig,
    *,
    tensors: dict[str, Tensor] | None = None,
) -> None:
    """Replace layers of the backbone by peft's, with the adapter's weights in them.

    The backbone then computes what peft's unmerged model computes.

    Args:
        backbone: the base model; changed in place.
        directory: holds the adapter.
        config: of the adapter, from `read_lora_config`.
        tensors: of the adapter, from `read_adapter_headers` for a backbone on the meta device;
            None: read them.

    Raises:
        CheckpointError: a tensor is missing, left over, or does not fit.
    """
    if tensors is None:
        tensors = read_adapter_tensors(directory)
    resize_vocabulary(backbone, tensors, directory)
    with third_party(f"The adapter in {directory}", ADVICE), quiet_peft():
        wrapped = PeftModel(backbone, config, adapter_name=ADAPTER_NAME).eval()
    fill_adapter(wrapped, tensors, directory)


def read_adapter_tensors(directory: Path) -> dict[str, Tensor]:
    """All tensors of an adapter, under peft's names.

    Raises:
        CheckpointError: the file is damaged, or a tensor is not of a usual floating dtype.
    """
    path = directory / ADAPTER_TENSORS
    tensors = read_tensors(path)
    check_float_headers(headers_of(path), path)
    check_finite(tensors, path)
    return tensors


def read_adapter_headers(directory: Path) -> dict[str, Tensor]:
    """Names and shapes of an adapter's tensors, as tensors on the meta device, of float32.

    Raises:
        CheckpointError: as `read_adapter_tensors`, but for values.
    """
    path = directory / ADAPTER_TENSORS
    headers = headers_of(path)
    check_float_headers(headers, path)
    return {name: torch.empty(each.shape, device="meta") for name, each in headers.items()}


def fill_adapter(model: nn.Module, tensors: dict[str, Tensor], directory: Path) -> None:
    """Copy the tensors into a model that holds the adapter's layers.

    Args:
        model: a `PeftModel`, or a backbone with injected layers.
        tensors: of the adapter, under peft's names.
        directory: of the adapter, for messages.

    Raises:
        CheckpointError: a tensor is missing, left over, or has another shape.
    """
    inventory = Inventory(where=str(directory / ADAPTER_TENSORS), kind="tensor")
    inventory.missing = _names_of_saved_modules(model) - tensors.keys()
    if not inventory.missing:  # else peft raises a KeyError
        with third_party(f"The adapter in {directory}", ADVICE), quiet_peft():
            report: Any = set_peft_model_state_dict(model, tensors, adapter_name=ADAPTER_NAME)
        inventory.missing = _unfilled(model, set(report.missing_keys))
        unused = {_name_in_file(name) for name in report.unexpected_keys}
        inventory.used = tensors.keys() - unused
        inventory.without_effect = _copies(tensors, unused, directory) if unused else {}
        inventory.left_over = dict.fromkeys(unused - inventory.without_effect.keys(), ADVICE)
    judge(inventory)


def _names_of_saved_modules(model: nn.Module) -> set[str]:
    """The tensors of `modules_to_save` and `trainable_token_indices`."""
    modules: list[tuple[str, Any]] = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, AuxiliaryTrainingWrapper)
    ]
    return {
        f"{name}.{key}"
        for name, module in modules
        for key in module.adapter_state_dict_load_map(ADAPTER_NAME)
    }


def _unfilled(model: nn.Module, missing: set[str]) -> set[str]:
    """The adapter's tensors without a value, of all names that the file lacks.

    Those of the base model have their values already. A tensor with two names, as that of tied
    `trainable_token_indices`, is saved under one.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    filled = {id(value) for name, value in parameters.items() if name not in missing}
    return {
        _name_in_file(name)
        for name in missing
        if ADAPTER_NAME in name.split(".") and id(parameters.get(name)) not in filled
    }


def _copies(tensors: dict[str, Tensor], unused: set[str], directory: Path) -> dict[str, str]:
    """Unused tensors that repeat a used one.

    With a larger vocabulary peft writes what it trains of an embedding twice, under two names.
    """
    if any(tensor.is_meta for tensor in tensors.values()):
        tensors = read_tensors(directory / ADAPTER_TENSORS)
    copies: dict[str, str] = {}
    for name in unused & tensors.keys():
        leaf = name.rpartition(".")[2]
        for twin in tensors.keys() - unused:
            same_kind = twin.endswith(f".{leaf}") and "lora_" not in name
            if same_kind and torch.equal(tensors[twin], tensors[name]):
                copies[name] = f"it equals {twin}"
    return copies


def _name_in_file(name: str) -> str:
    return name.replace(f".{ADAPTER_NAME}", "", 1)


def resize_vocabulary(
    backbone: PreTrainedModel, tensors: dict[str, Tensor], directory: Path
) -> None:
    """Give the embeddings as many rows as those that the adapter brings along.

    An adapter that was trained with added tokens holds both embeddings whole.

    Raises:
        CheckpointError: it holds one of two untied embeddings, so rows of the other are unknown.
    """
    table = embedding_table(backbone)
    head: Any = backbone.get_output_embeddings()  # type: ignore[no-untyped-call]
    rows = {
        name: sizes
        for name, module in backbone.named_modules()
        if module in (backbone.get_input_embeddings(), head)
        if (sizes := _rows_of(name, tensors))
    }
    old = table.shape[0]
    wanted = {size for sizes in rows.values() for size in sizes} - {old}
    if not wanted:
        return
    if len(wanted) > 1 or (len(rows) < 2 and head.weight is not table):
        raise CheckpointError(
            f"The adapter in {directory} holds embeddings of {sorted(wanted)} rows, and its base "
            f"model has {old}; {' and '.join(rows)} alone do not say what all rows are. Save the "
            "adapter again with save_embedding_layers=True."
        )
    with quiet_peft():
        backbone.resize_token_embeddings(wanted.pop(), mean_resizing=False)


def _rows_of(name: str, tensors: dict[str, Tensor]) -> set[int]:
    """Numbers of rows of the whole copies of a module's weight, however peft wrapped it."""
    return {
        tensor.shape[0]
        for key, tensor in tensors.items()
        if key.startswith(f"{PEFT_PREFIX}{name}.") and key.endswith(".weight")
        if "lora_" not in key and tensor.dim() == 2
    }

"""Merges a PEFT adapter into its base model, so that the backbone is a stock model again."""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import Embedding, Linear
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from qstar_infer.checkpoint.adapter.attach import ADVICE, attach_adapter
from qstar_infer.checkpoint.adapter.config import ADAPTER_NAME, read_lora_config
from qstar_infer.checkpoint.adapter.quiet import quiet_peft
from qstar_infer.checkpoint.architecture import embedding_table
from qstar_infer.checkpoint.backbone import finish
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.safety import check_no_code
from qstar_infer.errors import CheckpointError

_TOLERANCE = 1e-4
"""Of a merged layer's output, relative to the largest value. Float32 rounds 100 times finer."""


def merge_adapter(backbone: PreTrainedModel, directory: Path) -> PreTrainedModel:
    """Add a LoRA adapter's weights to those of the backbone.

    Args:
        backbone: the base model, not quantised; changed in place.
        directory: holds the adapter.

    Returns:
        The backbone: it computes what peft's unmerged model computes, in its own dtype.

    Raises:
        CheckpointError: not LoRA, no safetensors, a key that would not be honoured, or tensors
            that do not match the backbone.
    """
    check_no_code(directory)
    if getattr(backbone, "is_quantized", False):
        raise CheckpointError(
            f"The base model of the adapter in {directory} is quantised, and merging would round "
            "the sum again. Use an unquantised copy of the base model."
        )
    attach_adapter(backbone, directory, read_lora_config(directory))
    with third_party(f"The adapter in {directory}", ADVICE), quiet_peft():
        merge_layers(backbone)
    return finish(backbone)


@torch.no_grad()
def merge_layers(backbone: PreTrainedModel) -> None:
    """Merge each adapter layer in float32, and put a plain layer in its place.

    A weight that an adapted layer shares, as tied embeddings do, is first given to it alone: peft
    would change both layers, where its unmerged model changes one.

    Raises:
        CheckpointError: a merged layer does not compute what the unmerged one did.
        RuntimeError, ValueError: peft cannot merge a layer.
    """
    _merge_inside(backbone)
    del backbone.peft_config
    head = backbone.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is not None and head.weight is not embedding_table(backbone):
        backbone.config.tie_word_embeddings = False  # else a saved copy would tie them again


def _merge_inside(parent: nn.Module, prefix: str = "") -> None:
    for name, child in list(parent.named_children()):
        if isinstance(child, BaseTunerLayer | AuxiliaryTrainingWrapper):
            setattr(parent, name, _plain(prefix + name, child))
        else:
            _merge_inside(child, f"{prefix}{name}.")


def _plain(name: str, layer: Any) -> nn.Module:
    if not isinstance(layer, ModulesToSaveWrapper):
        return _merged(name, layer)
    holder = nn.ModuleList([layer.original_module, layer.modules_to_save[ADAPTER_NAME]])
    _merge_inside(holder, f"{name}.")  # a saved layer may have adapters inside
    original, saved = holder
    # The tensors move and not the module: its copy has a config of its own, which nothing updates.
    for key, tensor in list(saved.named_parameters()):
        parent, _, leaf = key.rpartition(".")
        owner = original.get_submodule(parent)
        tensor.data = tensor.data.to(getattr(owner, leaf).dtype)
        setattr(owner, leaf, tensor)
    return original


def _merged(name: str, layer: Any) -> nn.Module:
    inner = layer.token_adapter if isinstance(layer, AuxiliaryTrainingWrapper) else layer
    base: nn.Module = inner.get_base_layer()
    dtype = next(base.parameters()).dtype
    for key, shared in list(base.named_parameters(recurse=False)):
        setattr(base, key, nn.Parameter(shared.data, requires_grad=False))
    layer.float()
    probe = _probe(layer)
    if probe is None:
        _merge(layer)
    else:
        plain, wanted = base(probe), layer(probe)
        _merge(layer)
        _check_equal(name, base(probe), wanted, scale=float(plain.abs().max()))
    return base.to(dtype)


def _merge(layer: Any) -> None:
    if hasattr(layer, "unload_and_optionally_merge_module"):  # it may hold further layers
        layer.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
    else:
        layer.merge(safe_merge=True)


def _probe(layer: Any) -> Tensor | None:
    """A small input for a layer; None for a kind whose input is unknown."""
    if not isinstance(layer, Linear | Embedding):
        return None
    device, size = next(layer.parameters()).device, layer.in_features
    if isinstance(layer, Embedding):
        return torch.arange(min(64, size or 0), device=device)
    return torch.randn(4, size or 0, generator=torch.Generator().manual_seed(0)).to(device)


def _check_equal(name: str, got: Tensor, wanted: Tensor, *, scale: float) -> None:
    largest = max(scale, float(wanted.abs().max()))
    error = float((got - wanted).abs().max())
    if not error <= _TOLERANCE * largest:
        raise CheckpointError(
            f"The adapter of {name} cannot be merged: the merged layer is off by up to {error:.2g} "
            f"where values reach {largest:.2g}. Merge it where it was trained and save the whole "
            "model."
        )

"""Builds the backbone: a stock causal language model from safetensors."""

import copy
import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from qstar_infer.checkpoint.accounting import account_for_tensors
from qstar_infer.checkpoint.architecture import (
    check_supported_config,
    check_supported_model,
    config_class,
    embedding_table,
)
from qstar_infer.checkpoint.config_keys import account_for_keys, account_for_values
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.quantised import check_quantised_layers
from qstar_infer.checkpoint.reading import read_json, third_party
from qstar_infer.checkpoint.safety import (
    check_quantization,
)
from qstar_infer.checkpoint.sharding import local_part
from qstar_infer.errors import CheckpointError

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"
_MAX_LAYERS = 10_000


def load_backbone(
    directory: Path,
    config: PreTrainedConfig,
    options: LoadOptions,
    *,
    ignored_tensors: Collection[str] = (),
    prefix: str = "",
) -> PreTrainedModel:
    """A stock model, in eval mode, without gradients.

    Args:
        directory: holds safetensors; `find_source` has checked that nothing in it is unsafe.
        config: its `config.json`, from `read_config`.
        options: dtype, device, quantization.
        ignored_tensors: names of tensors that are not the backbone's.
        prefix: comes before the names of the backbone's tensors in the files.

    Raises:
        CheckpointError: incomplete, damaged, or of an architecture that cannot think.
    """
    judge(account_for_tensors(directory, config, ignored=ignored_tensors, prefix=prefix))
    is_quantised = getattr(config, "quantization_config", None) is not None
    advice = "If its files are complete, this version of transformers may be too old for it."
    with third_party(f"The model in {directory}", advice):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported, and checked below
            key_mapping={f"^{re.escape(prefix)}": ""} if prefix else None,
            **options.from_pretrained_arguments(is_quantised=is_quantised),
        )
    if options.quantization == "int8":
        # It would log at each call of each layer that it computes in float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    backbone, report = loaded
    if prefix:
        del backbone._weight_conversions  # or it would be saved with the prefix
    _check_report(report, directory)
    if is_quantised and not options.uses_bitsandbytes:
        check_quantised_layers(backbone, directory, prefix=prefix)
    return finish(backbone)


def read_config(directory: Path, *, ignored_keys: Collection[str] = ()) -> PreTrainedConfig:
    """The transformers config of a directory.

    Raises:
        CheckpointError: missing, malformed, or of an architecture that cannot think.
    """
    config, keys = _read_config(directory, ignored_keys)
    check_supported_config(config)
    judge(keys)
    return config


def account_for(
    directory: Path,
    *,
    ignored_tensors: Collection[str] = (),
    ignored_keys: Collection[str] = (),
    prefix: str = "",
) -> list[Inventory]:
    """What of a directory's config and weights the backbone uses, without loading weights.

    `judge` refuses each inventory that `load_backbone` would refuse.

    Args:
        directory: holds `config.json` and safetensors.
        ignored_tensors, ignored_keys: names that are not the backbone's.
        prefix: comes before the names of the backbone's tensors in the files.

    Raises:
        CheckpointError: the config or a file cannot be read, or the architecture cannot think.
    """
    config, keys = _read_config(directory, ignored_keys)
    check_supported_config(config)
    tensors = account_for_tensors(directory, config, ignored=ignored_tensors, prefix=prefix)
    return [keys, tensors]


def _check_num_layers(values: dict[str, Any], path: Path) -> None:
    """Check that a model of this config can be built: a damaged number would fill the memory."""
    for key in ("num_hidden_layers", "n_layer", "num_layers"):
        value = values.get(key)
        if isinstance(value, (int, float)) and value > _MAX_LAYERS:
            raise CheckpointError(
                f"{path} has {key} = {value}, and no known model has more than {_MAX_LAYERS}. "
                "The file is damaged: fetch or save the checkpoint again."
            )


def finish(backbone: PreTrainedModel) -> PreTrainedModel:
    """Check the built model, and set it to eval mode without gradients.

    Raises:
        CheckpointError: it cannot think (see `check_supported_model`), a weight is not finite, or
            `eos_token_id` of the generation config is invalid.
    """
    check_supported_model(backbone)
    _check_finite_weights(backbone)
    check_eos_token_ids(backbone)
    backbone.eval()  # type: ignore[no-untyped-call]
    backbone.requires_grad_(False)
    return backbone


def input_embedding_row(backbone: PreTrainedModel, token_id: int) -> Tensor:
    """A copy of one token's embedding, `[hidden]`, float32, on the CPU.

    By calling the module: some architectures scale the rows of its table.
    """
    ids = torch.tensor([token_id], device=backbone.device)
    with torch.no_grad():
        row: Tensor = backbone.get_input_embeddings()(ids)[0]
    return row.cpu().float().clone()


def hidden_size(backbone: PreTrainedModel) -> int:
    """Width of the embedding, which is the width of the thought vectors."""
    return embedding_table(backbone).shape[1]


def _read_config(
    directory: Path, ignored_keys: Collection[str]
) -> tuple[PreTrainedConfig, Inventory]:
    """The config, and what of the file's keys it uses."""
    path = directory / CONFIG_NAME
    values = {key: value for key, value in read_json(path).items() if key not in ignored_keys}
    check_quantization(values, path)
    _check_num_layers(values, path)
    judge(account_for_values(values, str(path)))
    kind = config_class(values, str(path))
    with third_party(str(path), "Correct the value that the message names."):
        config: PreTrainedConfig = kind.from_dict(copy.deepcopy(values))  # it changes inner objects
        return config, account_for_keys(values, config, str(path))


def _check_report(report: dict[str, Any], directory: Path) -> None:
    """Check that the real load found what the headers promised."""
    inventory = Inventory(where=str(directory), kind="tensor")
    inventory.missing |= set(report["missing_keys"])
    for name, held, wanted in report["mismatched_keys"]:
        inventory.unfit[name] = f"has shape {list(held)}, but config.json asks for {list(wanted)}"
    judge(inventory)


def _check_finite_weights(backbone: PreTrainedModel) -> None:
    """Takes about 50 ms for 135 million bfloat16 weights. The extremes are NaN if any weight is."""
    for name, weight in backbone.named_parameters():
        part = local_part(weight)
        if not part.is_floating_point() or not part.numel():
            continue  # packed by a quantizer
        extremes = torch.stack(torch.aminmax(part.detach()))
        if not bool(torch.isfinite(extremes).all()):
            raise CheckpointError(
                f"{name} of the {backbone.config.model_type} backbone has values that are NaN or "
                "infinite. The checkpoint is damaged, its training diverged, or the dtype "
                f"{str(weight.dtype).removeprefix('torch.')} is too narrow for it: use an earlier "
                "checkpoint or a wider dtype."
            )


def check_eos_token_ids(backbone: PreTrainedModel) -> None:
    """Check the ids that end a text.

    Raises:
        CheckpointError: `eos_token_id` of the generation config is not an integer or several.
    """
    ids = None if backbone.generation_config is None else backbone.generation_config.eos_token_id
    each = ids if isinstance(ids, list) else [ids]
    if ids is not None and not all(type(token_id) is int for token_id in each):
        raise CheckpointError(
            f"The generation config has eos_token_id = {ids!r}; it must be an integer, a list of "
            "integers or null. Correct generation_config.json."
        )

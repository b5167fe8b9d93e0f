"""Building the backbone: a stock causal language model from a directory of safetensors."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from qstar_infer.checkpoint.architecture import (
    config_class,
    embedding_table,
    require_supported_config,
    require_supported_model,
)
from qstar_infer.checkpoint.boundary import third_party
from qstar_infer.checkpoint.files import read_json
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.safety import (
    refuse_code,
    refuse_foreign_quantization,
    refuse_pickle_only,
)
from qstar_infer.checkpoint.tensors import backbone_tensor_files
from qstar_infer.errors import CheckpointError

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"


def load_backbone(
    directory: Path,
    options: LoadOptions,
    *,
    ignored_keys: Collection[str] = (),
    ignored_tensors: Collection[str] = (),
) -> PreTrainedModel:
    """A stock model, in eval mode, without gradients.

    Args:
        directory: holds `config.json` and safetensors.
        options: dtype, device, quantization.
        ignored_keys: keys of `config.json` that are not the backbone's.
        ignored_tensors: names of tensors that are not the backbone's.

    Raises:
        CheckpointError: unsafe, incomplete, or of an architecture that cannot think.
    """
    refuse_code(directory)
    refuse_pickle_only(directory)
    config = read_config(directory, ignored_keys=ignored_keys)
    backbone_tensor_files(directory)
    advice = "If its files are complete, this version of transformers may be too old for it."
    with third_party(f"The model in {directory}", advice):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options.from_pretrained_arguments(),
        )
    backbone, report = loaded
    _judge(report, directory, ignored_tensors)
    return finish(backbone)


def read_config(directory: Path, *, ignored_keys: Collection[str] = ()) -> PreTrainedConfig:
    """The transformers config of a directory.

    Raises:
        CheckpointError: missing, malformed, or of an architecture that cannot think.
    """
    path = directory / CONFIG_NAME
    values = {key: value for key, value in read_json(path).items() if key not in ignored_keys}
    refuse_foreign_quantization(values, path)
    kind = config_class(values, str(path))
    with third_party(str(path), "Correct the value that the message names."):
        config: PreTrainedConfig = kind.from_dict(values)
    require_supported_config(config)
    return config


def finish(backbone: PreTrainedModel) -> PreTrainedModel:
    """Check the built model and put it in inference state.

    Raises:
        CheckpointError: it cannot think; see `require_supported_model`.
    """
    require_supported_model(backbone)
    backbone.eval()  # type: ignore[no-untyped-call]
    backbone.requires_grad_(False)
    return backbone


def input_embedding_row(backbone: PreTrainedModel, token_id: int) -> Tensor:
    """What the layers are fed for one token, `[hidden]`, float32, on the CPU, a copy.

    Through the module, not from its table: some architectures scale the rows they look up.
    """
    ids = torch.tensor([token_id], device=backbone.device)
    with torch.no_grad():
        row: Tensor = backbone.get_input_embeddings()(ids)[0]
    return row.cpu().float().clone()


def hidden_size(backbone: PreTrainedModel) -> int:
    """Width of the embedding, which is the width of the thought vectors."""
    return embedding_table(backbone).shape[1]


def _judge(report: dict[str, Any], directory: Path, ignored_tensors: Collection[str]) -> None:
    """Refuse missing tensors, which transformers would fill with random numbers."""
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"The weights in {directory} lack {len(missing)} tensors that its config.json asks "
            f"for, the first being {', '.join(missing[:3])}. The weights and the config belong to "
            "different models, or a file is missing: fetch or save the checkpoint again."
        )
    unexpected = sorted(set(report["unexpected_keys"]) - set(ignored_tensors))
    if unexpected:
        logger.warning(
            "%s holds %d tensors that the model does not use, the first being %s.",
            directory,
            len(unexpected),
            ", ".join(unexpected[:3]),
        )

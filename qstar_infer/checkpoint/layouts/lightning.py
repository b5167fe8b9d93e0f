"""Converts the Lightning checkpoints of `expz/quiet-star` (Qwen2): a pickle, so only offline.

The names of that code appear only here. The differences:

* `model.*` is the backbone; `tok_emb`, `layers`, `ln` and `lm_head` repeat parts of it.
* `mixing_mlp.0` and `mixing_mlp.2` are a talk head of two layers with a ReLU between them and a
  sigmoid after them. Its weight is the share of the base: `w base + (1 - w) thought`.
* Base state first, then the thought's, as in ours.
* The thought vectors are the embedding rows of two tokens that are added to the base's tokenizer.
* The length is `hyper_parameters.config.thought_length`, delimiters not counted.
* Its generation feeds the newest tokens a second time before each thought. Its training, which the
  weights come from, does not, and neither do we.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from qstar_infer.checkpoint.backbone import finish, hidden_size, input_embedding_row, read_config
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.layouts.heads import inverted
from qstar_infer.checkpoint.native import build_thought_parts
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.tokenizer import load_tokenizer
from qstar_infer.checkpoint.torch_file import read_torch_file
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

START_TOKEN = "<|startofthought|>"
END_TOKEN = "<|endofthought|>"

_BACKBONE = "model."
_HEAD = "mixing_mlp."
_COPIES = {
    "tok_emb.": "model.model.embed_tokens.",
    "layers.": "model.model.layers.",
    "ln.": "model.model.norm.",
    "lm_head.": "model.lm_head.",
}
"""Where a copy starts -> where what it repeats starts."""

_TRAINER = "it is the state of the trainer"
_TRAINER_KEYS = (
    *("epoch", "global_step", "pytorch-lightning_version", "loops", "callbacks", "lr_schedulers"),
    *("optimizer_states", "hparams_name", "native_amp_scaling_state", "MixedPrecision"),
)
_TRAINING = "it is a setting of the training"
_TRAINING_KEYS = (
    *("accumulate_batches", "batch_size", "betas", "embedding_grad_weight", "embedding_init_token"),
    *("epochs", "learning_rate", "log_interval", "logger", "max_samples", "model", "num_thoughts"),
    *("optimizer_warmup", "policy_weight", "save_interval_hours", "save_top_k", "seed"),
    *("temperature", "test_pct", "weight_decay"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What the model needs of a file."""

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    """`hyper_parameters.config`."""


def convert_lightning(
    path: Path, base: Path, options: LoadOptions, *, num_thought_tokens: int | None = None
) -> QuietStarModel:
    """The model in a Lightning checkpoint of `expz/quiet-star`.

    Args:
        path: the `.ckpt` file.
        base: a directory with the `config.json` and the tokenizer of the base model.
        options: dtype and device.
        num_thought_tokens: overrides the file's thought length.

    Raises:
        CheckpointError: the file is damaged or names code, holds something unknown, or does not fit
            the base.
    """
    file = _read(path)
    length, notes = _thought_length(file, num_thought_tokens)
    tokenizer, (start_id, end_id) = _extended_tokenizer(base)
    config = _grown_config(read_config(base), file, end_id)
    state = _backbone_tensors(file, config)
    backbone = _build(config, state, options)
    parts = _thought_parts(file, backbone, start_id, end_id)
    notes.append(
        "The file's mixing weight is the share of the base. The last layer of its head was negated, "
        "so that the weight is the share of the thought."
    )
    notes.append(
        f"The thought vectors are the embeddings of {START_TOKEN} ({start_id}) and {END_TOKEN} "
        f"({end_id}), unscaled."
    )
    quiet_star = QuietStarConfig(
        num_thought_tokens=length,
        num_talk_tokens=_num_talk_tokens(file),
        start_thought_token_id=start_id,
        end_thought_token_id=end_id,
        training={"origin": "Lightning checkpoint of expz/quiet-star"},
        notes=notes,
    )
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=quiet_star).eval()


def _read(path: Path) -> _File:
    content = read_torch_file(path)
    _judge_keys(content, _TRAINER_KEYS, _TRAINER, where=str(path), used=("state_dict",))
    state = content["state_dict"]
    if not isinstance(state, dict) or not all(_is_plain_tensor(each) for each in state.values()):
        raise CheckpointError(
            f"{path} has a state_dict that is not a dict of dense tensors. Give the checkpoint file "
            "that the trainer wrote."
        )
    hyper = content.get("hyper_parameters", {})
    config = hyper.get("config", {}) if isinstance(hyper, dict) else hyper
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{path} has a {type(config).__name__} as hyper_parameters.config; a dict with "
            "thought_length is needed. Save it so, as docs/loading.md, 'Lightning files', shows."
        )
    _judge_keys(hyper, (), _TRAINING, where=f"{path}, hyper_parameters", used=())
    where = f"{path}, hyper_parameters.config"
    _judge_keys(config, _TRAINING_KEYS, _TRAINING, where=where, used=())
    return _File(path=path, tensors=dict(state), config=config)


def _judge_keys(
    values: dict[str, Any], harmless: tuple[str, ...], why: str, *, where: str, used: tuple[str, ...]
) -> None:
    known = {"state_dict", "hyper_parameters", "config", "thought_length", "lookahead_tokens"}
    judge(
        Inventory(
            where=where,
            kind="key",
            used=known & set(values),
            missing=set(used) - set(values),
            without_effect={key: why for key in harmless if key in values},
            left_over={str(key): "" for key in values if key not in {*known, *harmless}},
        )
    )

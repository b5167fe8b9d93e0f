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
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from qstar_infer.checkpoint.backbone import finish, hidden_size, input_embedding_row, read_config
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.layouts.heads import inverted
from qstar_infer.checkpoint.layouts.lightning_file import (
    LightningFile,
    integer_setting,
    read_lightning_file,
)
from qstar_infer.checkpoint.native import build_thought_parts
from qstar_infer.checkpoint.options import LoadOptions, check_thought_length
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.source import find_tokenizer
from qstar_infer.checkpoint.tokenizer import add_delimiters, delimiter_ids, load_tokenizer
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

_DELIMITERS = ("<|startofthought|>", "<|endofthought|>")
_BACKBONE = "model."
_HEAD = "mixing_mlp."
_EMBEDDING = "model.model.embed_tokens.weight"
_OUTPUT_EMBEDDING = "model.lm_head.weight"
_COPIES = {
    "tok_emb.": "model.model.embed_tokens.",
    "layers.": "model.model.layers.",
    "ln.": "model.model.norm.",
    "lm_head.": "model.lm_head.",
}
"""Where a copy starts -> where what it repeats starts."""


def convert_lightning(
    source: str | Path,
    base: str | Path,
    *,
    dtype: str | torch.dtype = "stored",
    num_thought_tokens: int | None = None,
) -> QuietStarModel:
    """The model in a Lightning checkpoint of `expz/quiet-star`, on the CPU.

    Args:
        source: the `.ckpt` file.
        base: a directory or hub id with the `config.json` and the tokenizer of the base model.
        dtype: as for `load_model`.
        num_thought_tokens: overrides the file's thought length.

    Raises:
        CheckpointError: the file is damaged or names code, holds something unknown, or does not fit
            the base.
        ConfigError: an argument is wrong.
    """
    options = LoadOptions.resolve(dtype=dtype, device="cpu", quantization="none")
    if num_thought_tokens is not None:
        check_thought_length(num_thought_tokens)
    directory = find_tokenizer(base)  # its small files; weights are not needed
    file = read_lightning_file(Path(source).expanduser())
    length, notes = _length(file, num_thought_tokens)
    tokenizer, ids = _extended_tokenizer(directory)
    backbone = _build(file, options, base=directory, highest_id=max(ids))
    parts = _thought_parts(file, backbone, ids)
    config = QuietStarConfig(
        num_thought_tokens=length,
        num_talk_tokens=integer_setting(file, "lookahead_tokens", default=4, minimum=0),
        start_thought_token_id=ids[0],
        end_thought_token_id=ids[1],
        training={"origin": "Lightning checkpoint of expz/quiet-star"},
        notes=[
            *notes,
            "The file's mixing weight is the share of the base: the talk head's last layer was "
            "negated, so that it is the share of the thought.",
            f"The thought vectors are the embeddings of {_DELIMITERS[0]} ({ids[0]}) and "
            f"{_DELIMITERS[1]} ({ids[1]}), unscaled.",
        ],
    )
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=config).eval()


def _length(file: LightningFile, asked: int | None) -> tuple[int, list[str]]:
    """The thought length, and notes that say where it comes from."""
    stored = integer_setting(file, "thought_length", default=0, minimum=1)
    if asked is None or asked == stored:
        return stored, [
            f"num_thought_tokens = {stored} is hyper_parameters.config.thought_length of the file."
        ]
    return asked, [
        f"num_thought_tokens = {asked} was given by the caller; the file has thought_length = "
        f"{stored}."
    ]


def _extended_tokenizer(base: Path) -> tuple[PreTrainedTokenizerBase, tuple[int, int]]:
    """The base's tokenizer with the two delimiters at its end, as training added them."""
    tokenizer = load_tokenizer(base)
    known = delimiter_ids(tokenizer, _DELIMITERS)
    return tokenizer, known or add_delimiters(tokenizer, _DELIMITERS)


def _build(
    file: LightningFile, options: LoadOptions, *, base: Path, highest_id: int
) -> PreTrainedModel:
    """The backbone, with every tensor of the file accounted for."""
    config = read_config(base)
    _fit_config(config, file, base=base, highest_id=highest_id)
    with torch.device("meta"):
        shapes = {name: tuple(each.shape) for name, each in _empty(config).state_dict().items()}
    judge(_tensor_inventory(file, shapes))
    state = {name: file.tensors[_BACKBONE + name] for name in shapes}
    stored = functools.reduce(torch.promote_types, (each.dtype for each in state.values()))
    with third_party(f"The model in {file.path}", "Check that the base is the file's."):
        backbone = _empty(config, dtype=options.dtype or stored)
        backbone.load_state_dict(state)
        if (base / "generation_config.json").exists():
            backbone.generation_config = GenerationConfig.from_pretrained(base)
    backbone.to(options.device)  # type: ignore[arg-type]  # wrapped method
    return finish(backbone)


def _empty(config: PreTrainedConfig, **settings: torch.dtype) -> PreTrainedModel:
    """A model with meaningless weights."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, **settings
    )
    return model


def _fit_config(
    config: PreTrainedConfig, file: LightningFile, *, base: Path, highest_id: int
) -> None:
    """Change what training changes: rows for the delimiters, and an untied output embedding."""
    embedding = file.tensors.get(_EMBEDDING)
    head = file.tensors.get(_OUTPUT_EMBEDDING)
    if embedding is None or embedding.dim() != 2:
        return  # the inventory says so
    if highest_id >= len(embedding):
        raise CheckpointError(
            f"{file.path} has {len(embedding)} embedding rows, but {' and '.join(_DELIMITERS)} "
            f"would be ids up to {highest_id} of the tokenizer in {base}. Give the base that the "
            "file was trained from."
        )
    if len(embedding) == highest_id + 1 > config.vocab_size:
        config.vocab_size = len(embedding)
    if head is not None and not _is_same(head, embedding):
        config.tie_word_embeddings = False


def _tensor_inventory(file: LightningFile, shapes: dict[str, tuple[int, ...]]) -> Inventory:
    inventory = Inventory(where=str(file.path), kind="tensor")
    needed = {_BACKBONE + name: shape for name, shape in shapes.items()}
    needed |= _head_shapes(hidden=needed[_EMBEDDING][1])
    inventory.missing = set(needed) - set(file.tensors)
    for name, tensor in file.tensors.items():
        original = _original(name)
        if name in needed:
            if tuple(tensor.shape) != needed[name] or not tensor.is_floating_point():
                inventory.unfit[name] = (
                    f"is {tensor.dtype} of shape {list(tensor.shape)}, and the base's config.json "
                    f"asks for floating point of shape {list(needed[name])}"
                )
            else:
                inventory.used.add(name)
        elif original not in file.tensors:
            inventory.left_over[name] = ""
        elif _is_same(tensor, file.tensors[original]):
            inventory.without_effect[name] = f"it repeats {original}"
        else:
            inventory.unfit[name] = f"differs from {original}, which it should repeat"
    return inventory


def _head_shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    wide = 2 * hidden
    return {
        f"{_HEAD}0.weight": (wide, wide),
        f"{_HEAD}0.bias": (wide,),
        f"{_HEAD}2.weight": (1, wide),
        f"{_HEAD}2.bias": (1,),
    }


def _original(name: str) -> str:
    """The name of the tensor that this one repeats; "" if it is no copy."""
    for copy, original in _COPIES.items():
        if name.startswith(copy):
            return original + name.removeprefix(copy)
    return ""


def _is_same(one: Tensor, other: Tensor) -> bool:
    # Compared as bytes would be, except that NaN differs from itself: `finish` refuses it anyway.
    return one.dtype == other.dtype and torch.equal(one, other)


def _thought_parts(
    file: LightningFile, backbone: PreTrainedModel, delimiter_ids: tuple[int, int]
) -> ThoughtParts:
    hidden = hidden_size(backbone)
    wide = 2 * hidden
    tensors = {
        name.replace(_HEAD, "talk_head."): tensor
        for name, tensor in file.tensors.items()
        if name.startswith(_HEAD)
    }
    shape = TalkHeadConfig(
        hidden_size=hidden, layers=((wide, wide), (1, wide)), biases=(True, True), sigmoid=True
    )
    tensors, shape = inverted(tensors, shape)
    for name, token_id in zip(("start_thought", "end_thought"), delimiter_ids, strict=True):
        tensors[name] = input_embedding_row(backbone, token_id)
    return build_thought_parts(tensors, talk_head=shape, where=file.path)

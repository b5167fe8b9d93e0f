"""Reads the checkpoints of the paper's public code (`ezelikman/quietstar-8-ahead`).

The names of that code appear only here. The differences:

* `talk_head.0.{0,2,4}` is our `talk_head.{0,2,4}`.
* `start_embedding` and `end_embedding` are `[2, hidden]`: row 0 times 100 is the vector fed; row 1
  is a log-deviation that is unused.
* `n_ahead` is stored nowhere. The training script sets `max_thoughts = n_ahead + n_ahead_talk + 1`
  with `n_ahead_talk` 4, and a forward pass with `n_ahead` samples `n_ahead - 3` thought tokens.
* The published evaluation script replaces both vectors at its first forward pass by the embedding
  of the first token of `---`. We keep the trained ones; `thought_vectors="literal"` does the same.
"""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint.backbone import (
    hidden_size,
    input_embedding_row,
    load_backbone,
    read_config,
)
from qstar_infer.checkpoint.native import (
    build_thought_parts,
    check_shapes,
    thought_part_shapes,
)
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.tensors import backbone_tensor_files, read_tensors
from qstar_infer.checkpoint.tokenizer import (
    END_TOKEN,
    START_TOKEN,
    check_tokenizer_fits,
    delimiter_ids,
    delimiter_text_id,
    load_tokenizer,
)
from qstar_infer.engine_args import ThoughtVectors
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig, TalkHeadConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

logger = logging.getLogger(__name__)

_EMBEDDING_SCALE = 100.0
_TRAINING_TALK_TOKENS = 4
_TALK_HEAD = "talk_head.0."
_EMBEDDINGS = {"start_thought": "start_embedding", "end_thought": "end_embedding"}

# The flags that the public code reads, with the values that mean this talk head. They are also the
# defaults. The public code does not read the other keys.
_FLAGS = {
    "use_concat_talk_head": True,
    "use_complex_talk_head": True,
    "use_weighted_talk_head": True,
    "use_shallow_talk": False,
    "merged_lm_and_talk_heads": False,
}
_EXTRA_KEYS = frozenset(
    {
        *_FLAGS,
        "max_thoughts",
        "merged_talk_heads",
        "merged_lm_and_think_heads",
        "use_shallow_think",
        "use_complex_think_head",
    }
)


def looks_published(directory: Path, config: dict[str, Any]) -> bool:
    """Whether a directory with a `config.json` is a published Quiet-STaR checkpoint.

    One sign is enough: a checkpoint that lost its tensors is then an error, not a plain model.
    """
    if "max_thoughts" in config:
        return True
    return any(_is_thought_tensor(name) for name in backbone_tensor_files(directory))


def load_published(
    directory: Path,
    options: LoadOptions,
    *,
    num_thought_tokens: int | None,
    thought_vectors: ThoughtVectors,
) -> QuietStarModel:
    """Load a published checkpoint.

    Args:
        directory: a Mistral with the extra keys and tensors.
        options: dtype, device, quantization.
        num_thought_tokens: overrides what `max_thoughts` implies.
        thought_vectors: "kept", or "literal" for what the published evaluation script feeds.

    Raises:
        CheckpointError: something is missing or malformed, or the talk head is a different one.
    """
    values = read_json(directory / "config.json")
    _check_known_flags(values, directory / "config.json")
    length, notes = _thought_length(values, directory / "config.json", num_thought_tokens)
    files = backbone_tensor_files(directory)
    names = {name for name in files if _is_thought_tensor(name)}
    tensors = _read_thought_tensors(files, names)
    backbone_config = read_config(directory, ignored_keys=_EXTRA_KEYS)
    tokenizer = load_tokenizer(directory)
    start_id, end_id = _delimiters_of(tokenizer, directory)
    backbone = load_backbone(directory, backbone_config, options, ignored_tensors=names)
    check_tokenizer_fits(tokenizer, backbone, str(directory))
    parts = _thought_parts(tensors, hidden_size(backbone), directory)
    if thought_vectors == "literal":
        notes.append(_make_literal(parts, backbone, tokenizer))
    for note in notes:
        logger.info("%s: %s", directory, note)
    config = QuietStarConfig(
        num_thought_tokens=length,
        num_talk_tokens=_TRAINING_TALK_TOKENS,
        start_thought_token_id=start_id,
        end_thought_token_id=end_id,
        training={"origin": "published checkpoint", "thought_vectors": thought_vectors},
        notes=notes,
    )
    return QuietStarModel(backbone, tokenizer, thought_parts=parts, config=config)


def _is_thought_tensor(name: str) -> bool:
    return name.startswith("talk_head.") or name in _EMBEDDINGS.values()


def _check_known_flags(values: dict[str, Any], path: Path) -> None:
    for flag, known in _FLAGS.items():
        value = values.get(flag, known)
        if value is not known:
            raise CheckpointError(
                f"{path} has {flag} = {value!r}. Only {flag} = {known} is supported: another value "
                "means a talk head of another shape and meaning, for which no trained checkpoint "
                "is known. Use a checkpoint trained with the paper's settings."
            )


def _thought_length(values: dict[str, Any], path: Path, asked: int | None) -> tuple[int, list[str]]:
    """The thought length, and notes that say how it was found."""
    max_thoughts = values.get("max_thoughts")
    if asked is not None:
        return asked, [
            f"num_thought_tokens = {asked} was given by the caller; config.json has "
            f"max_thoughts = {max_thoughts}, which was not used."
        ]
    smallest = _TRAINING_TALK_TOKENS + 1 + 3 + 1
    if type(max_thoughts) is not int or max_thoughts < smallest:
        raise CheckpointError(
            f"{path} has max_thoughts = {max_thoughts!r}, which gives no thought length "
            f"(an integer of at least {smallest} is needed). The checkpoint stores its length "
            "nowhere else: pass num_thought_tokens to load_model or LLM, or --num-thought-tokens N "
            "to `qstar serve`, or store it with `qstar convert --num-thought-tokens N`."
        )
    n_ahead = max_thoughts - _TRAINING_TALK_TOKENS - 1
    return n_ahead - 3, [
        f"num_thought_tokens = {n_ahead - 3} was inferred from max_thoughts = {max_thoughts} by "
        f"the training script's rule max_thoughts = n_ahead + {_TRAINING_TALK_TOKENS} + 1, where "
        f"n_ahead = {n_ahead} counts the base call, the start and the end vector as well. "
        "The checkpoint does not store the length; pass num_thought_tokens to override it."
    ]


def _read_thought_tensors(files: dict[str, Path], names: set[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in {files[name] for name in names}:
        tensors |= read_tensors(path, [name for name in names if files[name] == path])
    return tensors


def _delimiters_of(tokenizer: PreTrainedTokenizerBase, directory: Path) -> tuple[int, int]:
    ids = delimiter_ids(tokenizer)
    if ids is None:
        raise CheckpointError(
            f"The tokenizer in {directory} lacks {START_TOKEN} and {END_TOKEN}, which a published "
            "Quiet-STaR checkpoint adds to its base tokenizer. Use the tokenizer files that belong "
            "to the checkpoint, not those of its base model."
        )
    return ids


def _thought_parts(tensors: dict[str, Tensor], hidden: int, directory: Path) -> ThoughtParts:
    shapes = {
        f"{_TALK_HEAD}{name.removeprefix('talk_head.')}": shape
        for name, shape in thought_part_shapes(TalkHeadConfig.standard(hidden)).items()
        if name.startswith("talk_head.")
    }
    shapes |= dict.fromkeys(_EMBEDDINGS.values(), (2, hidden))
    check_shapes(tensors, shapes, directory)
    ours = {
        name.replace(_TALK_HEAD, "talk_head."): tensor
        for name, tensor in tensors.items()
        if name.startswith(_TALK_HEAD)
    }
    for name, theirs in _EMBEDDINGS.items():
        # Scaled in float32: the file's bfloat16 would round again.
        ours[name] = tensors[theirs][0].float() * _EMBEDDING_SCALE
    return build_thought_parts(ours, talk_head=TalkHeadConfig.standard(hidden), where=directory)


def _make_literal(
    parts: ThoughtParts, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> str:
    token_id = delimiter_text_id(tokenizer)
    row = input_embedding_row(backbone, token_id)
    parts.start_thought.data.copy_(row)
    parts.end_thought.data.copy_(row)
    return (
        f"Both thought vectors are the embedding of token {token_id}, the first of '---', as the "
        "published evaluation script makes them; the trained vectors are not used."
    )

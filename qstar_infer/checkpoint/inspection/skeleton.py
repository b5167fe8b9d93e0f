"""What loading would build, without weights: the same checks, with a model on the meta device.

Every problem is collected, so that one does not hide the next. What needs the values of weights,
for example whether they are finite, is not seen.
"""

import copy
import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from qstar_infer.checkpoint.accounting import account_for_tensors
from qstar_infer.checkpoint.adapter.attach import (
    attach_adapter,
    read_adapter_headers,
    resize_vocabulary,
)
from qstar_infer.checkpoint.adapter.config import read_lora_config
from qstar_infer.checkpoint.architecture import check_supported_model
from qstar_infer.checkpoint.backbone import check_eos_token_ids, read_config
from qstar_infer.checkpoint.gguf.beside import tokenizer_beside
from qstar_infer.checkpoint.gguf.facts import GgufFacts, read_gguf_facts
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from qstar_infer.checkpoint.inspection.problems import Problems
from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.checkpoint.layouts.find import describe_layout, own_names
from qstar_infer.checkpoint.layouts.layout import OwnNames, ThoughtLayout
from qstar_infer.checkpoint.load_source import find_base
from qstar_infer.checkpoint.reading import third_party
from qstar_infer.checkpoint.source import Source, SourceKind
from qstar_infer.checkpoint.tokenizer import has_tokenizer, load_tokenizer
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import check_attention


@dataclass(slots=True, kw_only=True)
class Skeleton:
    """What loading would build of the language model. A part that cannot be built is None."""

    backbone: PreTrainedModel | None = None
    """On the meta device."""
    tokenizer: PreTrainedTokenizerBase | None = None
    layout: ThoughtLayout | None = None
    """Of a checkpoint of another code base."""
    gguf: GgufFacts | None = None
    lora: LoraConfig | None = None
    """Of an adapter."""
    base: Source | None = None
    """What an adapter adapts."""


def build_skeleton(found: Source, problems: Problems, *, tokenizer: Path | None) -> Skeleton:
    """Go through the steps of loading without its weights.

    Args:
        found: the checkpoint.
        problems: gets the reasons why it would be refused.
        tokenizer: the directory of a tokenizer to use instead of the checkpoint's own.
    """
    skeleton = Skeleton()
    _add_backbone(skeleton, found, problems, tokenizer=tokenizer)
    backbone = skeleton.backbone
    if backbone is not None:
        backbone.name_or_path = found.label
        problems.attempt(lambda: _probe(backbone))
    return skeleton


def _add_backbone(
    skeleton: Skeleton, found: Source, problems: Problems, *, tokenizer: Path | None
) -> None:
    if found.gguf_file is not None:
        _add_gguf(skeleton, found.directory / found.gguf_file, problems, tokenizer=tokenizer)
    elif found.is_adapter:
        _add_adapted(skeleton, found, problems, tokenizer=tokenizer)
    else:
        _add_safetensors(skeleton, found, problems, tokenizer=tokenizer)


def _add_safetensors(
    skeleton: Skeleton, found: Source, problems: Problems, *, tokenizer: Path | None
) -> None:
    directory, own = found.directory, OwnNames()
    if found.kind is SourceKind.PUBLISHED:
        skeleton.layout = problems.attempt(lambda: describe_layout(directory))
        named = skeleton.layout.own if skeleton.layout else own_names(directory)
        own = named or own
    config = problems.attempt(lambda: read_config(directory, ignored_keys=own.keys))
    if config is None:
        return
    skeleton.tokenizer = problems.attempt(lambda: load_tokenizer(tokenizer or directory))
    inventory = problems.attempt(
        lambda: account_for_tensors(directory, config, ignored=own.tensors, prefix=own.prefix)
    )
    if inventory is not None:
        _judge_each(inventory, problems)
    skeleton.backbone = problems.attempt(lambda: _empty_backbone(config, directory))


def _judge_each(inventory: Inventory, problems: Problems) -> None:
    """`judge` stops at the first kind of problem."""
    empty = Inventory(where=inventory.where, kind=inventory.kind, advice=inventory.advice)
    for name in ("unfit", "missing", "left_over"):
        part = dataclasses.replace(empty, **{name: getattr(inventory, name)})
        problems.attempt(partial(judge, part))


def _add_gguf(
    skeleton: Skeleton, path: Path, problems: Problems, *, tokenizer: Path | None
) -> None:
    facts = problems.attempt(lambda: read_gguf_facts(path))
    if facts is None:
        return
    skeleton.gguf = facts
    if facts.file is None:
        problems.messages.append(facts.refusal)
        return
    tokenizer = tokenizer or tokenizer_beside(path)
    config, end_ids = facts.file.config, facts.file.end_ids
    skeleton.tokenizer = problems.attempt(
        lambda: load_gguf_tokenizer(path) if tokenizer is None else load_tokenizer(tokenizer)
    )
    backbone = problems.attempt(lambda: _empty_backbone(config, None))
    if backbone is not None and backbone.generation_config is not None and len(end_ids) > 1:
        backbone.generation_config.eos_token_id = end_ids
    skeleton.backbone = backbone


def _add_adapted(
    skeleton: Skeleton, found: Source, problems: Problems, *, tokenizer: Path | None
) -> None:
    directory = found.directory
    if tokenizer is None and has_tokenizer(directory):
        tokenizer = directory
    skeleton.base = base = problems.attempt(lambda: find_base(found))
    skeleton.lora = lora = problems.attempt(lambda: read_lora_config(directory))
    if base is not None:
        _add_backbone(skeleton, base, problems, tokenizer=tokenizer)
    backbone = skeleton.backbone
    if backbone is not None and lora is not None:
        problems.attempt(lambda: _attach(backbone, directory, lora))


def _attach(backbone: PreTrainedModel, directory: Path, lora: LoraConfig) -> None:
    """Check that an adapter fits; leaves the backbone as it is, but for added rows."""
    # Other starts compute something of the base's weights, and their names are the same.
    plain_start = dataclasses.replace(lora, init_lora_weights=True)
    tensors = read_adapter_headers(directory)
    resize_vocabulary(backbone, tensors, directory)
    attach_adapter(copy.deepcopy(backbone), directory, plain_start, tensors=tensors)


def _empty_backbone(config: PreTrainedConfig, directory: Path | None) -> PreTrainedModel:
    """The model on the meta device, with the generation config of a directory, checked.

    Raises:
        CheckpointError: it cannot be built, or it cannot think.
    """
    plain = copy.deepcopy(config)
    if getattr(plain, "quantization_config", None) is not None:
        del plain.quantization_config  # its layers would be packed
    advice = "If its files are complete, this version of transformers may be too old for it."
    with third_party(f"A {config.model_type} model", advice), torch.device("meta"):
        backbone: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            plain,
            dtype=torch.bfloat16,  # the only one that experts compute in on the meta device
        )
    if directory is not None and (directory / "generation_config.json").exists():
        with third_party(f"The generation config in {directory}", "Correct the file."):
            backbone.generation_config = GenerationConfig.from_pretrained(directory)
    check_supported_model(backbone)
    check_eos_token_ids(backbone)
    backbone.eval()  # type: ignore[no-untyped-call]
    return backbone


def _probe(backbone: PreTrainedModel) -> None:
    """Check that attention can be ours, by a pass without numbers.

    Raises:
        CheckpointError: it cannot.
    """
    backbone.config.pad_token_id = None  # some models look for it in the numbers of their input
    try:
        check_attention(backbone)
    except CheckpointError as error:
        # A pass that depends on its numbers, for example on how many tokens each expert gets.
        if not isinstance(error.__cause__, NotImplementedError):
            raise

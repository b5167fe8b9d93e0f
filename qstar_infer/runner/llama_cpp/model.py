"""A model that llama.cpp computes: its files, and what the engine must know of it."""

import dataclasses
import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from qstar_infer.checkpoint.gguf.architectures import (
    EMBEDDING,
    OUTPUT,
    REPEATS_EMBEDDING,
    num_vector_rows,
)
from qstar_infer.checkpoint.gguf.beside import generation_config_beside, tokenizer_beside
from qstar_infer.checkpoint.gguf.file import GgufFile, read_gguf
from qstar_infer.checkpoint.gguf.tokenizer import load_gguf_tokenizer
from qstar_infer.checkpoint.load_source import overridden
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, read_native
from qstar_infer.checkpoint.tokenizer import load_tokenizer
from qstar_infer.errors import CheckpointError
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.model.backbone_facts import count_text
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thought_parts import ThoughtParts

logger = logging.getLogger(__name__)
_SUPPORTED = ("llama", "qwen2", "qwen3")
_ROW_MULTIPLES = {"Q4_0": 4, "Q8_0": 4}
"""Their kernels compute four rows at once, and take about as long for one to three left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppModel:
    """A `ServedModel`. Only its thought parts are torch modules, on the CPU in float32."""

    path: Path
    """The GGUF file."""
    name: str
    size_and_precision: str
    tokenizer: PreTrainedTokenizerBase
    backbone_config: PreTrainedConfig
    generation_config: GenerationConfig | None
    config: QuietStarConfig | None
    thought_parts: ThoughtParts | None
    layer_shapes: list[LayerShape]
    row_multiple: int
    """Passes of more rows are filled up to a multiple of it; llama.cpp is faster then."""
    dtype: torch.dtype = torch.float16
    """Of keys and values. Weights have the types of the file; states are float32."""
    device: torch.device = torch.device("cpu")
    num_positions: None = None

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, without those of the thought vectors."""
        return int(self.backbone_config.vocab_size)

    @property
    def can_think(self) -> bool:
        return self.thought_parts is not None

    @property
    def has_gate(self) -> bool:
        """Whether a gate can decide where it thinks."""
        return self.thought_parts is not None and self.thought_parts.gate is not None

    @property
    def num_thought_tokens(self) -> int:
        """Thought length as trained; 0 for a model that cannot think."""
        return 0 if self.config is None else self.config.num_thought_tokens

    @property
    def delimiter_ids(self) -> tuple[int, ...]:
        return () if self.config is None else self.config.delimiter_ids


def open_model(
    path: Path, *, name: str, num_thought_tokens: int | None = None, ignores_thoughts: bool = False
) -> LlamaCppModel:
    """Read everything about a model but its weights.

    Args:
        path: a GGUF file; thought parts and a tokenizer beside it count if `save_gguf` wrote them.
        name: of the model.
        num_thought_tokens: replaces the checkpoint's thought length.
        ignores_thoughts: treat it as a plain language model.

    Raises:
        CheckpointError: a file is malformed, or of an architecture that this runner does not serve.
    """
    file = read_gguf(path)
    config = file.config
    if file.header.architecture not in _SUPPORTED:
        raise CheckpointError(
            f"{path} has the architecture {file.header.architecture!r}, and the runner llama.cpp "
            f"serves only {', '.join(_SUPPORTED)}. Use the torch runner."
        )
    directory = tokenizer_beside(path)
    thoughts: QuietStarConfig | None = None
    parts: ThoughtParts | None = None
    if (path.parent / QUIET_STAR_JSON).exists() and directory is not None and not ignores_thoughts:
        thoughts, parts = read_native(path.parent, hidden=config.hidden_size)
        thoughts = overridden(thoughts, num_thought_tokens)
        parts.requires_grad_(False)
    text = load_gguf_tokenizer(path) if directory is None else load_tokenizer(directory)
    return LlamaCppModel(
        path=path,
        name=name,
        size_and_precision=_size_and_precision(file),
        tokenizer=text,
        backbone_config=config,
        generation_config=generation_config_beside(path) or _generation_config(file),
        config=thoughts,
        thought_parts=parts,
        layer_shapes=_layer_shapes(config),
        row_multiple=_ROW_MULTIPLES.get(_main_type(file), 1),
    )


def with_exact_cache(model: LlamaCppModel) -> LlamaCppModel:
    """The same model with keys and values in float32."""
    return dataclasses.replace(model, dtype=torch.float32)


def _generation_config(file: GgufFile) -> GenerationConfig | None:
    if not file.end_ids:
        return None
    return GenerationConfig(eos_token_id=file.end_ids)  # type: ignore[no-untyped-call]


def _layer_shapes(config: PreTrainedConfig) -> list[LayerShape]:
    shape = LayerShape(
        num_kv_heads=config.num_key_value_heads,
        key_dim=config.head_dim,
        value_dim=config.head_dim,
        window=None,
    )
    return [shape] * int(config.num_hidden_layers)


def _size_and_precision(file: GgufFile) -> str:
    """Counts what is stored once in the original, without thought vectors."""
    header, config = file.header, file.config
    names = set(file.tensor_of.values())
    if header.keys.get(REPEATS_EMBEDDING) is True:
        names.remove(OUTPUT)
    num_parameters = sum(math.prod(header.tensors[name].shape) for name in names)
    num_parameters -= (
        num_vector_rows(header) * config.hidden_size * len(names & {EMBEDDING, OUTPUT})
    )
    return f"{count_text(num_parameters)} parameters, {_main_type(file)} on llama.cpp"


def _main_type(file: GgufFile) -> str:
    """The type of most of the weights, by their bytes."""
    sizes: Counter[str] = Counter()
    for tensor in file.header.tensors.values():
        sizes[tensor.type.name] += tensor.num_bytes
    return sizes.most_common(1)[0][0]

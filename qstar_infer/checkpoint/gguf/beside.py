"""Files beside a GGUF file that `save_gguf` wrote. Those beside any other file are ignored."""

from pathlib import Path

from transformers import GenerationConfig

from qstar_infer.checkpoint.gguf.architectures import VECTOR_ROWS
from qstar_infer.checkpoint.gguf.header import read_header
from qstar_infer.checkpoint.tokenizer import has_tokenizer

_GENERATION_CONFIG = "generation_config.json"


def tokenizer_beside(path: Path) -> Path | None:
    """The directory with the tokenizer of a file of ours; None for other files."""
    return path.parent if has_tokenizer(path.parent) and _is_ours(path) else None


def generation_config_beside(path: Path) -> GenerationConfig | None:
    """The generation config of a file of ours; None if there is none."""
    if not (path.parent / _GENERATION_CONFIG).exists() or not _is_ours(path):
        return None
    config: GenerationConfig = GenerationConfig.from_pretrained(path.parent)
    return config


def _is_ours(path: Path) -> bool:
    return VECTOR_ROWS in read_header(path).keys

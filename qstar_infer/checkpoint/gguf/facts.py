"""Describes a GGUF file from its header alone, for `qstar inspect`."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from qstar_infer.checkpoint.gguf.file import GgufFile, check_header
from qstar_infer.checkpoint.gguf.header import GgufHeader, read_header
from qstar_infer.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """What a GGUF file is, and whether it can be loaded."""

    path: Path
    header: GgufHeader
    name: str
    """`general.name`; "" if the file has none."""
    architecture: str
    num_parameters: int
    """Values of all tensors."""
    types: dict[str, int]
    """How weights are stored -> number of tensors, the most common first."""
    tokenizer: str
    """Its kind and its way to split text, for example "gpt2, smollm"."""
    file: GgufFile | None
    """Config, vocabulary and names, if it can be loaded."""
    refusal: str
    """Why it cannot be loaded; "" if it can."""


def read_gguf_facts(path: Path) -> GgufFacts:
    """Describe a GGUF file. Reads its header, and no weights.

    Raises:
        CheckpointError: it has no readable header, or is one of several shards.
    """
    header = read_header(path)
    try:
        file, refusal = check_header(header), ""
    except CheckpointError as error:
        file, refusal = None, str(error)
    types = Counter(tensor.type.name for tensor in header.tensors.values())
    return GgufFacts(
        path=path,
        header=header,
        name=_text(header, "general.name"),
        architecture=_text(header, "general.architecture"),
        num_parameters=sum(math.prod(tensor.shape) for tensor in header.tensors.values()),
        types=dict(types.most_common()),
        tokenizer=", ".join(
            text for key in ("model", "pre") if (text := _text(header, f"tokenizer.ggml.{key}"))
        ),
        file=file,
        refusal=refusal,
    )


def _text(header: GgufHeader, key: str) -> str:
    """A key's text, fit for a terminal."""
    value = header.keys.get(key)
    text = value if isinstance(value, str) else ""
    return text if text.isprintable() else ascii(text)

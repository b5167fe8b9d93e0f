"""What the header of a GGUF file says, checked."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig

from qstar_infer.checkpoint.architecture import check_supported_config
from qstar_infer.checkpoint.gguf.architectures import (
    VECTOR_ROWS,
    Architecture,
    embedding_rows,
    num_vector_rows,
    read_architecture,
    read_config,
)
from qstar_infer.checkpoint.gguf.header import GgufHeader, read_header
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.tensors import match_tensors
from qstar_infer.checkpoint.gguf.vocabulary import NO_VOCABULARY, Vocabulary, read_vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A GGUF file that can be loaded; its weights are not read yet."""

    header: GgufHeader
    architecture: Architecture
    config: PreTrainedConfig
    vocabulary: Vocabulary | None
    """None in a file of ours whose tokenizer is in files beside it."""
    tensor_of: dict[str, str]
    """Parameter of the model -> tensor of the file, for every parameter."""

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a text, as far as the file names them."""
        return [] if self.vocabulary is None else self.vocabulary.end_ids


def read_gguf(path: Path) -> GgufFile:
    """Read and check all but the weights of a GGUF file.

    Raises:
        CheckpointError: the file is damaged, or has something that cannot be honoured.
    """
    return check_header(read_header(path))


def check_header(header: GgufHeader) -> GgufFile:
    """Check that each key and tensor of a file is honoured or changes nothing.

    Raises:
        CheckpointError: one cannot be honoured, or is missing.
    """
    architecture = read_architecture(header)
    keys = KeyReader(header)
    vocabulary = _read_vocabulary(keys)
    config = read_config(keys, architecture, {} if vocabulary is None else vocabulary.special_ids)
    keys.account_for_the_rest()
    check_supported_config(config)
    return GgufFile(
        header=header,
        architecture=architecture,
        config=config,
        vocabulary=vocabulary,
        tensor_of=match_tensors(header, architecture, config),
    )


def _read_vocabulary(keys: KeyReader) -> Vocabulary | None:
    header = keys.header
    is_ours = VECTOR_ROWS in header.keys
    if is_ours and keys.get("tokenizer.ggml.model", str) == NO_VOCABULARY:
        return None
    return read_vocabulary(
        keys, num_rows=embedding_rows(header), num_vectors=num_vector_rows(header)
    )

"""What the header of a GGUF file says, checked."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig

from qstar_infer.checkpoint.architecture import check_supported_config
from qstar_infer.checkpoint.gguf.architectures import (
    Architecture,
    embedding_rows,
    read_architecture,
    read_config,
)
from qstar_infer.checkpoint.gguf.header import GgufHeader, read_header
from qstar_infer.checkpoint.gguf.keys import KeyReader
from qstar_infer.checkpoint.gguf.tensors import match_tensors
from qstar_infer.checkpoint.gguf.vocabulary import Vocabulary, read_vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFile:
    """A GGUF file that can be loaded; its weights are not read yet."""

    header: GgufHeader
    architecture: Architecture
    config: PreTrainedConfig
    vocabulary: Vocabulary
    tensor_of: dict[str, str]
    """Parameter of the model -> tensor of the file, for every parameter."""


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
    vocabulary = read_vocabulary(keys, num_rows=embedding_rows(header))
    config = read_config(keys, architecture, vocabulary.special_ids)
    keys.account_for_the_rest()
    check_supported_config(config)
    return GgufFile(
        header=header,
        architecture=architecture,
        config=config,
        vocabulary=vocabulary,
        tensor_of=match_tensors(header, architecture, config),
    )

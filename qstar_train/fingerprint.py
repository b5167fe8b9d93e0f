"""What is in a checkpoint's files: another content under the same name is another checkpoint."""

import hashlib

from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.source import find_source

_CHUNK_BYTES = 1 << 24


def fingerprint_of(source: str | None) -> str:
    """A checkpoint's weights, configs and tokenizer: 16 hexadecimal digits.

    Args:
        source: as `load_model` takes it; None is the default model. The base of an adapter is not
            looked at.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    found = find_source(default_model_directory() if source is None else source)
    if found.gguf_file is not None:
        files = [found.directory / found.gguf_file]
    else:
        files = sorted(
            path
            for path in found.directory.iterdir()
            if path.suffix in {".safetensors", ".json", ".model", ".txt"}
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()[:16]

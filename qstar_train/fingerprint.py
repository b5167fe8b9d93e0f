"""What is in a checkpoint's files: another content under the same name is another checkpoint."""

import hashlib
from pathlib import Path

from qstar_infer.checkpoint.default import default_model_directory
from qstar_infer.checkpoint.load_source import find_base
from qstar_infer.checkpoint.source import Source, find_source

_CHUNK_BYTES = 1 << 24
_SUFFIXES = {".safetensors", ".json", ".model", ".txt"}


def fingerprint_of(source: str | None) -> str:
    """A checkpoint's weights, configs and tokenizer: 16 hexadecimal digits.

    Those of an adapter's base are a part of it. A base on a hub is fetched as `load_model` would.

    Args:
        source: as `load_model` takes it; None is the default model.

    Raises:
        CheckpointError: there is no such checkpoint, or an adapter's base is missing.
    """
    found = find_source(default_model_directory() if source is None else source)
    digest = hashlib.sha256()
    files = _files(found) + (_files(find_base(found)) if found.is_adapter else [])
    for path in files:
        digest.update(f"{path.name}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def _files(found: Source) -> list[Path]:
    if found.gguf_file is not None:
        return [found.directory / found.gguf_file]
    return sorted(path for path in found.directory.iterdir() if path.suffix in _SUFFIXES)

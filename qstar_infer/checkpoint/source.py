"""Tells by looking what a checkpoint is. Opens no weights beyond their headers."""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.files import read_json
from qstar_infer.checkpoint.hub import download
from qstar_infer.checkpoint.package import PREFIX as PACKAGE_PREFIX
from qstar_infer.checkpoint.package import package_file
from qstar_infer.checkpoint.published import looks_published
from qstar_infer.checkpoint.safety import refuse_code, refuse_pickle_file, refuse_pickle_only
from qstar_infer.checkpoint.tensors import INDEX_NAME, SINGLE_NAME
from qstar_infer.errors import CheckpointError

QUIET_STAR_JSON = "quiet_star.json"
QUIET_STAR_TENSORS = "quiet_star.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


class SourceKind(Enum):
    """What a checkpoint is."""

    NATIVE = "native"
    PUBLISHED = "published"
    PLAIN = "a language model without thought parts"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that was found."""

    kind: SourceKind
    directory: Path
    label: str
    """As the caller named it."""
    gguf_file: str | None = None
    """File name inside `directory`; only for GGUF."""
    revision: str | None = None
    """Commit of a hub download."""

    @property
    def is_adapter(self) -> bool:
        """Whether the backbone is a PEFT adapter over another model."""
        return (self.directory / ADAPTER_CONFIG).exists() and self.kind is not SourceKind.GGUF


def find_source(source: str | Path, *, revision: str | None = None) -> Source:
    """Find a checkpoint and tell its kind.

    Args:
        source: a directory, a `.gguf` file, `package:NAME/FILE`, or a hub id `org/name`.
        revision: a branch, tag or commit; only for a hub id.

    Raises:
        CheckpointError: there is no such checkpoint, or it is of no known or of an unsafe kind.
    """
    label = str(source)
    if label.startswith(PACKAGE_PREFIX):
        return _gguf(package_file(label), label)
    path = Path(source).expanduser()
    if label and path.is_dir():
        return _directory(path, label, revision=None)
    if label and path.exists():
        return _file(path, label)
    if isinstance(source, str) and _HUB_ID.match(source):
        snapshot = download(source, revision=revision)
        return _directory(snapshot.directory, label, revision=snapshot.commit)
    raise CheckpointError(
        f"{label!r} is neither a directory, nor a .gguf file, nor a hub id like 'org/name'. "
        "Check the path."
    )


def _file(path: Path, label: str) -> Source:
    refuse_pickle_file(path)
    if path.suffix.lower() == ".gguf":
        return _gguf(path, label)
    if path.suffix.lower() == ".safetensors":
        raise CheckpointError(
            f"{label} is a single safetensors file; give the directory that holds it together with "
            "config.json and the tokenizer."
        )
    raise CheckpointError(
        f"{label} is a file of an unknown kind ({path.suffix or 'no suffix'}); give a directory or "
        "a .gguf file."
    )


def _gguf(path: Path, label: str) -> Source:
    return Source(kind=SourceKind.GGUF, directory=path.parent, label=label, gguf_file=path.name)


def _directory(directory: Path, label: str, *, revision: str | None) -> Source:
    refuse_code(directory)
    _require_both_native_files(directory)
    if (directory / QUIET_STAR_JSON).exists():
        kind = SourceKind.NATIVE
    elif (directory / ADAPTER_CONFIG).exists():
        kind = SourceKind.PLAIN
    elif not _has_safetensors(directory) and any(directory.glob("*.gguf")):
        return _gguf(_only_gguf(directory), label)
    elif (directory / CONFIG_NAME).exists():
        refuse_pickle_only(directory)
        is_published = looks_published(directory, read_json(directory / CONFIG_NAME))
        kind = SourceKind.PUBLISHED if is_published else SourceKind.PLAIN
    else:
        refuse_pickle_only(directory)
        raise CheckpointError(
            f"{label} holds no model: it has neither {CONFIG_NAME}, nor {ADAPTER_CONFIG}, nor a "
            ".gguf file. Check the path."
        )
    return Source(kind=kind, directory=directory, label=label, revision=revision)


def _has_safetensors(directory: Path) -> bool:
    return (directory / SINGLE_NAME).exists() or (directory / INDEX_NAME).exists()


def _only_gguf(directory: Path) -> Path:
    files = sorted(directory.glob("*.gguf"))
    if len(files) > 1:
        raise CheckpointError(
            f"{directory} holds {len(files)} .gguf files ({', '.join(f.name for f in files[:6])}); "
            "give the path of the one to load."
        )
    return files[0]


def _require_both_native_files(directory: Path) -> None:
    pair = (QUIET_STAR_JSON, QUIET_STAR_TENSORS)
    present = [name for name in pair if (directory / name).exists()]
    if len(present) == 1:
        (absent,) = set(pair) - set(present)
        raise CheckpointError(
            f"{directory} has {present[0]} but not {absent}: its thought parts are incomplete. "
            "Save or fetch the checkpoint again."
        )

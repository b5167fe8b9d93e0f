"""Finds a checkpoint on disk or on a hub, and determines its kind.

Reads only the headers of weights; never fetches a pickle or code.
"""

import dataclasses
import logging
import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from huggingface_hub import list_repo_files, snapshot_download

from qstar_infer.checkpoint.adapter.config import ADAPTER_CONFIG, check_adapter_is_one
from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.lab import lab_directory
from qstar_infer.checkpoint.layouts.find import own_names
from qstar_infer.checkpoint.native import QUIET_STAR_JSON, QUIET_STAR_TENSORS
from qstar_infer.checkpoint.safety import (
    check_no_code,
    check_no_pickles,
    check_not_only_pickles,
    check_not_pickled,
)
from qstar_infer.checkpoint.tensors import INDEX_NAME, SINGLE_NAME
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.source_name import LAB, source_text

logger = logging.getLogger(__name__)

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")

ALLOWED_PATTERNS = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "spiece.model",
    "vocab.txt",
    "merges.txt",
)
IGNORED_PATTERNS = ("consolidated*",)
"""A second copy of the weights, in the author's own layout."""
TOKENIZER_PATTERNS = tuple(pattern for pattern in ALLOWED_PATTERNS if pattern != "*.safetensors")


class SourceKind(Enum):
    """Kind of a checkpoint."""

    NATIVE = "native"
    PUBLISHED = "published"
    """In the layout of another code base; see `layouts`."""
    PLAIN = "a language model without thought parts"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that was found."""

    kind: SourceKind
    directory: Path
    label: str
    """The name that the caller gave."""
    gguf_file: str | None = None
    """File name inside `directory`: of kind GGUF, or a native checkpoint written by `save_gguf`."""
    revision: str | None = None
    """Commit of a hub download."""

    @property
    def is_adapter(self) -> bool:
        """Whether the backbone is a PEFT adapter over another model."""
        return (self.directory / ADAPTER_CONFIG).exists() and self.gguf_file is None


def find_source(source: str | Path, *, revision: str | None = None) -> Source:
    """Find a checkpoint and determine its kind.

    Args:
        source: "lab" for the lab model, a directory, a `.gguf` file, or a hub id `org/name`.
        revision: a branch, tag or commit; only for a hub id.

    Raises:
        CheckpointError: there is no such checkpoint, or its kind is unknown or unsafe.
        ConfigError: a revision was given for something other than a hub repository.
    """
    label = source_text(source)
    if source == LAB:
        return _lab(revision)
    # os.path, because pathlib raises for an unknown user and for a name that is too long.
    path = Path(os.path.expanduser(source))
    if label and os.path.exists(path):
        if revision is not None:
            raise ConfigError(
                f"revision={revision!r} was given, but {label} is on this machine; only a hub "
                "repository has revisions. Leave it out."
            )
        return _directory(path, label, revision=None) if path.is_dir() else _file(path, label)
    if isinstance(source, str) and _HUB_ID.match(source):
        snapshot = _download(source, revision=revision)
        # The hub client names a snapshot's directory after its commit.
        return _directory(snapshot, label, revision=snapshot.name)
    raise CheckpointError(
        f"{label!r} is neither a directory, nor a .gguf file, nor a hub id like 'org/name'. "
        "Check the path."
    )


def _lab(revision: str | None) -> Source:
    if revision is not None:
        raise ConfigError(
            f"revision={revision!r} was given, but the lab model is part of this package. Leave it "
            "out, or name a hub repository."
        )
    if os.path.exists(LAB):
        logger.warning("lab is the packaged lab model. For what is called lab here, give ./lab")
    return _directory(lab_directory(), LAB, revision=None)


def find_tokenizer(source: str | Path) -> Path:
    """Find a tokenizer by itself.

    Args:
        source: a directory, or a hub id `org/name`, of which only small files are fetched.

    Returns:
        The directory that holds it.

    Raises:
        CheckpointError: there is no such directory or repository, or it names code to run.
    """
    path = Path(os.path.expanduser(source))
    if str(source) and path.is_dir():
        directory = path
    elif isinstance(source, str) and _HUB_ID.match(source) and not path.exists():
        directory = _snapshot(source, patterns=TOKENIZER_PATTERNS)
    else:
        raise CheckpointError(
            f"tokenizer={str(source)!r} is neither a directory nor a hub id like 'org/name'. Give "
            "the directory that holds tokenizer.json or tokenizer.model."
        )
    check_no_code(directory)
    return directory


def _download(repository: str, *, revision: str | None = None) -> Path:
    """Fetch the safe files of a hub repository, or find them in the local hub cache.

    With `HF_HUB_OFFLINE=1` it looks in the cache only.

    Raises:
        CheckpointError: not found, not allowed, only pickles, or the hub cannot be reached.
    """
    directory = _snapshot(repository, revision=revision, patterns=ALLOWED_PATTERNS)
    if not any(directory.glob("*.safetensors")):
        check_no_pickles(repository, _names_on_hub(repository, directory.name))
    return directory


def _snapshot(repository: str, *, revision: str | None = None, patterns: tuple[str, ...]) -> Path:
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(IGNORED_PATTERNS),
            )
        )
    except Exception as error:  # the client and its transport raise many types
        at = "" if revision is None else f" at revision {revision!r}"
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"There is no local directory {repository!r}, and the hub repository of that name{at} "
            f"could not be fetched: {type(error).__name__}: {reason} "
            "Check the name, the network and HF_HUB_OFFLINE, or give a local directory."
        ) from error


def _names_on_hub(repository: str, commit: str) -> list[str]:
    """All files of a repository, pickles included; [] if the hub cannot be reached."""
    try:
        return list(list_repo_files(repository, revision=commit))
    except Exception:  # the names only make a later message better
        return []


def _file(path: Path, label: str) -> Source:
    check_not_pickled(path)
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
    check_no_code(directory)
    _check_both_native_files(directory)
    is_gguf = not _has_safetensors(directory) and any(directory.glob("*.gguf"))
    if (directory / QUIET_STAR_JSON).exists():
        kind = SourceKind.NATIVE
        if is_gguf and not (directory / ADAPTER_CONFIG).exists():
            return dataclasses.replace(_gguf(_only_gguf(directory), label), kind=kind)
    elif (directory / ADAPTER_CONFIG).exists():
        kind = SourceKind.PLAIN
    elif is_gguf:
        return _gguf(_only_gguf(directory), label)
    elif (directory / CONFIG_NAME).exists():
        check_not_only_pickles(directory)
        is_published = own_names(directory) is not None
        kind = SourceKind.PUBLISHED if is_published else SourceKind.PLAIN
    else:
        check_not_only_pickles(directory)
        check_adapter_is_one(directory)
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


def _check_both_native_files(directory: Path) -> None:
    pair = (QUIET_STAR_JSON, QUIET_STAR_TENSORS)
    present = [name for name in pair if (directory / name).exists()]
    if len(present) == 1:
        (absent,) = set(pair) - set(present)
        raise CheckpointError(
            f"{directory} has {present[0]} but not {absent}: its thought parts are incomplete. "
            "Save or fetch the checkpoint again."
        )

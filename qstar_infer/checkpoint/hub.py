"""Fetching a checkpoint from the model hub: never a pickle, never code."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download

from qstar_infer.errors import CheckpointError

ALLOWED_PATTERNS = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "spiece.model",
    "vocab.txt",
    "merges.txt",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A downloaded repository."""

    directory: Path
    commit: str


def download(repository: str, *, revision: str | None = None) -> Snapshot:
    """Fetch the safe files of a hub repository, or find them in the local hub cache.

    `HF_HUB_OFFLINE=1` looks in the cache only.

    Raises:
        CheckpointError: not found, not allowed, or the hub is out of reach.
    """
    try:
        directory = snapshot_download(
            repository, revision=revision, allow_patterns=list(ALLOWED_PATTERNS)
        )
    except Exception as error:  # the client and its transport raise many unrelated types
        at = "" if revision is None else f" at revision {revision!r}"
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"There is no local directory {repository!r}, and the hub repository of that name{at} "
            f"could not be fetched: {type(error).__name__}: {reason} "
            "Check the name, the network and HF_HUB_OFFLINE, or give a local directory."
        ) from error
    # The hub client names a snapshot's directory after its commit.
    return Snapshot(directory=Path(directory), commit=Path(directory).name)

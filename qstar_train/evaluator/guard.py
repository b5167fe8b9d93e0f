"""Keeps one directory for one set of settings: records of different ones must not mix."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_infer.errors import ConfigError
from qstar_train.evaluator.checkpoints import Checkpoint
from qstar_train.evaluator.config import EvaluateSettings
from qstar_train.evaluator.directory import SETTINGS, require_ours
from qstar_train.evaluator.task import Task
from qstar_train.settings import differences

_FREE = {"thought_lengths", "thoughts", "batch_size", "bootstrap_resamples"}
"""Settings that change which records there are, or what is made of them, but no record: a run may
go on with others. The same goes for further checkpoints."""


def guard(
    directory: Path,
    settings: EvaluateSettings,
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
) -> None:
    """Claim a directory for these settings, or check that it was.

    Raises:
        ConfigError: it holds records of other settings, checkpoints or data (named), or other
            things.
    """
    path = directory / SETTINGS
    now = {
        "settings": settings.model_dump(mode="json", exclude=_FREE),
        "checkpoints": {item.label: item.fingerprint for item in checkpoints},
        "data": {task.name: task.digest for task in tasks},
    }
    if path.exists():
        then = _read(path)
        _compare(directory, then, now)
        now["checkpoints"] = then["checkpoints"] | now["checkpoints"]
        now["data"] = then["data"] | now["data"]
    else:
        require_ours(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"--out {directory} cannot be written: {error}.") from error


def _compare(directory: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    differing = list(differences(then["settings"], now["settings"]))
    if differing:
        raise ConfigError(
            f"--out {directory} holds records of other settings: {'; '.join(differing)}. Use "
            "those again, or give another directory."
        )
    for label, fingerprint in now["checkpoints"].items():
        if then["checkpoints"].get(label, fingerprint) != fingerprint:
            raise ConfigError(
                f"--out {directory} holds records of another checkpoint called {label!r}: its "
                "content has changed, or that of the base of its adapter. Give this one another "
                "label (`label=path`), or another directory."
            )
    for name, digest in now["data"].items():
        if then["data"].get(name, digest) != digest:
            raise ConfigError(
                f"--out {directory} holds records of other data called {name!r}: its content has "
                "changed. Bring the old content back, or give another directory."
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = {"data": {}} | content  # directories of before there was a digest
        if all(isinstance(content[key], dict) for key in ("settings", "checkpoints", "data")):
            return dict(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error!r}. Give another --out.") from error
    raise ConfigError(f"{path} is not of an evaluation. Give another --out.")

"""Keeps records of different settings, checkpoints and data from mixing in one directory.

Each task's records hang on what all of them hang on, on its own settings and on its own data alone:
other tasks come and go in the same directory.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qstar_eval.checkpoints import Checkpoint
from qstar_eval.config import EvaluateSettings
from qstar_eval.directory import SETTINGS, require_ours
from qstar_eval.task import Task
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig as SourceSettings
from qstar_train.config_file import differences

_PARTS = ("settings", "checkpoints", "tasks")
_CHOOSE_UNITS = {*SourceSettings.model_fields, "max_questions"}
"""Settings of a set that only say which units it has: its digest tells whether those are others."""
_READ_BY = {
    "num_samples": {"majority"},
    "sample_temperature": {"majority"},
    "max_new_tokens": {"exact_match", "majority"},
}
"""Settings of a question set that only some measures read; all other settings shape every one."""


def guard(
    directory: Path,
    settings: EvaluateSettings,
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
) -> None:
    """Note what the records of a directory are measured with, or check that it is the same.

    Raises:
        ConfigError: it holds records of other settings, checkpoints or data (named), or other
            things.
    """
    path = directory / SETTINGS
    own = _settings_by_task(settings)
    now = {
        "settings": _shared(settings),
        "checkpoints": {item.label: item.fingerprint for item in checkpoints},
        "tasks": {
            task.name: {"digest": task.digest, "settings": own.get(task.name, {})} for task in tasks
        },
    }
    if path.exists():
        then = _read(directory)
        _compare(directory, then, now)
        now = {part: then[part] | now[part] for part in _PARTS}
    else:
        require_ours(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"--out {directory} cannot be written: {error}.") from error


def _shared(settings: EvaluateSettings) -> dict[str, Any]:
    """What every record hangs on. A device goes by its kind: `auto` and `cpu` may be the same."""
    device = LoadOptions.resolve(dtype="auto", device=settings.device, quantization="none").device
    return settings.model_dump(include={"seed", "temperature", "dtype"}) | {"device": device.type}


def _settings_by_task(settings: EvaluateSettings) -> dict[str, dict[str, Any]]:
    """For each task those settings of its set that it reads."""
    found = {text.name: text.model_dump(mode="json", exclude={"name"}) for text in settings.texts}
    for questions in settings.questions:
        for measure in questions.measures:
            unread = {name for name, measures in _READ_BY.items() if measure not in measures}
            found[f"{questions.name}-{measure}"] = questions.model_dump(
                mode="json", exclude={"name", "measures", *unread}
            )
    return found


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
    changed = [
        f"{name!r}: {', '.join(found)}"
        for name, task in now["tasks"].items()
        if (found := _task_differences(then["tasks"].get(name, task), task))
    ]
    if changed:
        raise ConfigError(
            f"--out {directory} holds other records of {'; '.join(changed)}. Bring that back, or "
            "give the set another name, or another directory."
        )


def _task_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Why records of the one are not records of the other; empty where they are."""
    is_same_data = then["digest"] == now["digest"]
    ignored = _CHOOSE_UNITS if is_same_data else set()
    before, after = (
        {name: value for name, value in task["settings"].items() if name not in ignored}
        for task in (then, now)
    )
    found = list(differences(before, after))
    return found if found or is_same_data else ["its content has changed"]


def _read(directory: Path) -> dict[str, Any]:
    path = directory / SETTINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error!r}. Give another --out.") from error
    parts = content if isinstance(content, dict) else {}
    if all(isinstance(parts.get(part), dict) for part in _PARTS):
        return parts
    if all(isinstance(parts.get(part), dict) for part in ("settings", "checkpoints")):
        raise ConfigError(
            f"--out {directory} holds records of an older version of this program, which did not "
            "note what each was measured with. Give another directory."
        )
    raise ConfigError(f"{path} is not of an evaluation. Give another --out.")

"""The directory of a run: what its records were measured with, and a lock against a second run.

`settings.json` keeps what every record depends on (seed, temperature, dtype, device, checkpoints)
and, for each task, its own settings and data. So tasks come and go in one directory, and records of
different settings, checkpoints or data never mix.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from qstar_eval.checkpoints import Checkpoint
from qstar_eval.config import EvalConfig
from qstar_eval.task import Task, write_json
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.config_file import differences

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

FILE = "settings.json"
_LOCK = "lock"
_LEFTOVERS = {_LOCK, "settings.tmp"}
"""Files that a killed process may leave in an otherwise empty directory."""
_PARTS = ("settings", "checkpoints", "tasks")
_CHOOSE_EXAMPLES = {*SourceConfig.model_fields, "max_questions"}
"""Settings that only choose a set's examples; the digest shows whether they chose others."""
_READ_BY = {
    "num_samples": {"majority"},
    "sample_temperature": {"majority"},
    "max_new_tokens": {"exact_match", "majority"},
}
"""Settings of a question set that only some measures read; every measure reads the others."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other evaluations out of a directory. Makes the directory if it does not exist.

    The system releases the lock when the process ends. On a file system without locks, a warning is
    logged instead; on Windows, nothing.

    Raises:
        ConfigError: another evaluation is running there, the directory holds other things, or it
            cannot be written.
    """
    check_directory(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / _LOCK).open("a")
    except OSError as error:
        raise _unwritable(directory, error) from error
    with file:
        _lock(file, directory)
        yield


def check_directory(directory: Path) -> None:
    """Check that a directory is new, empty, or of an evaluation.

    Raises:
        ConfigError: it is not.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--out {directory} is a file. Give a directory.")
    if not directory.is_dir() or (directory / FILE).exists():
        return
    if any(path.name not in _LEFTOVERS for path in directory.iterdir()):
        raise ConfigError(
            f"--out {directory} holds files that are not from an evaluation. Give an empty "
            "directory."
        )


def check_provenance(
    directory: Path,
    config: EvalConfig,
    *,
    checkpoints: Sequence[Checkpoint],
    tasks: Sequence[Task],
) -> None:
    """Check that new records may join those of a directory, and note what they are measured with.

    Raises:
        ConfigError: the directory holds records of other settings, checkpoints or data (named), or
            other things.
    """
    own = _settings_by_task(config)
    now = {
        "settings": _shared(config),
        "checkpoints": {item.label: item.fingerprint for item in checkpoints},
        "tasks": {
            task.name: {"digest": task.digest, "settings": own.get(task.name, {})} for task in tasks
        },
    }
    if (directory / FILE).exists():
        then = _read(directory / FILE)
        _check_same(directory, then, now)
        now = {part: then[part] | now[part] for part in _PARTS}
    else:
        check_directory(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / FILE, now)
    except OSError as error:
        raise _unwritable(directory, error) from error


def _lock(file: IO[str], directory: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"--out {directory}: another evaluation is running in it. Wait until it ends, or give "
            "another directory."
        ) from error
    except OSError as error:  # some network file systems
        logger.warning(
            "%s cannot be locked (%s): do not start a second evaluation there.", directory, error
        )


def _shared(config: EvalConfig) -> dict[str, Any]:
    """What every record depends on. A device counts by its kind: `auto` may be `cpu`."""
    device = LoadOptions.resolve(dtype="auto", device=config.device, quantization="none").device
    shared: dict[str, Any] = config.model_dump(include={"seed", "temperature", "dtype"})
    if config.thinking == "everywhere":
        # Not noted otherwise: directories from before there were rules can then be continued.
        shared["thinking"] = config.thinking
    return shared | {"device": device.type}


def _settings_by_task(config: EvalConfig) -> dict[str, dict[str, Any]]:
    """For each task, the settings of its set that it reads."""
    found = {text.name: text.model_dump(mode="json", exclude={"name"}) for text in config.texts}
    for questions in config.questions:
        for measure in questions.measures:
            unread = {name for name, measures in _READ_BY.items() if measure not in measures}
            found[f"{questions.name}-{measure}"] = questions.model_dump(
                mode="json", exclude={"name", "measures", *unread}
            )
    for answers in config.answers:
        found[answers.task_name] = answers.model_dump(mode="json", exclude={"name", "batch_size"})
    return found


def _check_same(directory: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    changed = list(differences(then["settings"], now["settings"]))
    if changed:
        raise ConfigError(
            f"--out {directory} holds records of other settings: {'; '.join(changed)}. Use the "
            "same settings again, or give another directory."
        )
    for label, fingerprint in now["checkpoints"].items():
        if then["checkpoints"].get(label, fingerprint) != fingerprint:
            raise ConfigError(
                f"--out {directory} holds records of another checkpoint called {label!r}: its "
                "content has changed, or that of its adapter's base. Give this one another label "
                "(`label=path`), or another directory."
            )
    changed = [
        f"{name!r}: {', '.join(found)}"
        for name, task in now["tasks"].items()
        if (found := _task_differences(then["tasks"].get(name, task), task))
    ]
    if changed:
        raise ConfigError(
            f"--out {directory} holds other records of {'; '.join(changed)}. Restore that, give "
            "the set another name, or give another directory."
        )


def _task_differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Why records of one task cannot join those of another; empty if they can."""
    is_same_data = then["digest"] == now["digest"]
    ignored = _CHOOSE_EXAMPLES if is_same_data else set()
    before, after = (
        {name: value for name, value in task["settings"].items() if name not in ignored}
        for task in (then, now)
    )
    found = list(differences(before, after))
    return found if found or is_same_data else ["its content has changed"]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error!r}. Give another --out.") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(part), dict) for part in _PARTS
    ):
        raise ConfigError(
            f"{path} is not from an evaluation, or from an older version. Give another --out."
        )
    return content


def _unwritable(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--out {directory} cannot be written: {error}.")

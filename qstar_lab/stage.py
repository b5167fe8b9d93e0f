"""A stage of the lab: one process that reads and writes files, and its marker of completion."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_train.atomic_write import replace_text

FORMAT = 1
"""Part of every digest: increase it when stages of older versions must be redone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one process does. A function of its settings and of the stages that it needs."""

    name: str
    """Unique, such as `chain/seed-0/base`."""
    title: str
    """For people, such as `train the base`."""
    work: str
    """`train` for a run of `qstar train`, or a name in `qstar_lab.work`."""
    settings: Mapping[str, Any]
    """JSON values. For `train`, the config of the run; for other work, its arguments, of which
    `result` is the file or directory that it writes."""
    needs: tuple[str, ...] = ()
    """Names of stages whose files it reads."""
    expected_s: float
    """Rough duration; only for the estimate of the time left."""
    runs_alone: bool = False
    """For measuring speed: nothing else runs meanwhile."""
    depends_on: str = ""
    """What else the result depends on; part of the digest."""

    @property
    def num_steps(self) -> int | None:
        """Steps of a training stage, which logs them; None of other stages."""
        return int(self.settings["steps"]) if self.work == "train" else None

    @property
    def output(self) -> Path | None:
        """The directory of a training stage's run."""
        return Path(self.settings["output"]) if self.work == "train" else None

    @property
    def config(self) -> Path | None:
        """The config file of a training stage, beside its run, where a person finds it."""
        return self.output.with_suffix(".yaml") if self.output is not None else None

    @property
    def result(self) -> Path:
        """What is there once the stage has finished."""
        return Path(self.settings["result"]) if self.output is None else self.output / "model"


@dataclass(frozen=True, slots=True)
class StageFiles:
    """The files of one stage below the lab's directory: settings, log and markers."""

    directory: Path
    """`stages/` of the lab."""
    name: str

    def _path(self, suffix: str) -> Path:
        return self.directory / f"{self.name.replace('/', '.')}{suffix}"

    @property
    def settings(self) -> Path:
        """What the process of a stage that does not train reads."""
        return self._path(".json")

    @property
    def log(self) -> Path:
        return self._path(".log")

    @property
    def begun(self) -> Path:
        """Holds the digest of the settings that the stage was started with."""
        return self._path(".begun")

    @property
    def done(self) -> Path:
        """Written last: the digest, and the seconds that the stage took."""
        return self._path(".done")

    def seconds(self) -> float:
        """How long the finished stage took."""
        return float(json.loads(self.done.read_text(encoding="utf-8"))["seconds"])

    def is_done(self, digest: str) -> bool:
        """Whether the stage has finished with these settings."""
        return _read(self.done).get("digest") == digest

    def is_begun(self, digest: str) -> bool:
        """Whether a process has begun this stage with these settings, in this directory.

        `qstar train` refuses to continue a run whose files have moved.
        """
        return _read(self.begun) == {"digest": digest, "directory": str(self.directory)}

    def mark_begun(self, digest: str) -> None:
        """Note that a process begins; what an earlier one has finished no longer counts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.done.unlink(missing_ok=True)
        values = {"digest": digest, "directory": str(self.directory)}
        replace_text(self.begun, json.dumps(values) + "\n")

    def mark_done(self, digest: str, seconds: float) -> None:
        """Note that the stage is complete."""
        values = {"digest": digest, "seconds": round(seconds, 1)}
        replace_text(self.done, json.dumps(values) + "\n")


def _read(path: Path) -> dict[str, Any]:
    """The values of a marker; none if there is no marker, or a damaged one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def check_order(stages: Sequence[Stage]) -> None:
    """Check that names are unique and that each stage is behind those that it needs.

    Raises:
        AssertionError: it is not so.
    """
    seen: set[str] = set()
    for stage in stages:
        assert stage.name not in seen, f"two stages are named {stage.name}"
        assert seen.issuperset(stage.needs), f"{stage.name} is before what it needs"
        seen.add(stage.name)


def digests_of(stages: Sequence[Stage], directory: Path) -> dict[str, str]:
    """A digest for each stage, of its settings and of the digests of what it needs.

    Paths below the lab's directory count relative to it, so that a lab can be moved.

    Args:
        stages: each behind those that it needs.
        directory: of the lab.
    """
    digests: dict[str, str] = {}
    for stage in stages:
        text = json.dumps([FORMAT, stage.work, stage.settings, stage.depends_on], sort_keys=True)
        text = text.replace(f"{json.dumps(str(directory))[1:-1]}/", "./")
        parts = [text, *(digests[name] for name in stage.needs)]
        digests[stage.name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return digests


def forget(stage: Stage) -> None:
    """Delete what a training stage has written with other settings, which it could not resume."""
    if stage.output is not None and stage.output.exists():
        shutil.rmtree(stage.output)

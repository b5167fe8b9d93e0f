"""The files of a run: settings, inputs, metrics, samples, states, and the model at the end."""

import json
import logging
from pathlib import Path
from typing import Any

import yaml

from qstar_infer.errors import ConfigError
from qstar_train.settings import differences
from qstar_train.trainer.config import TrainSettings
from qstar_train.trainer.state import saved_states, state_step
from qstar_train.trainer.writing import replace_text, written

logger = logging.getLogger(__name__)

MAY_CHANGE = {
    "gradient_checkpointing",
    "log_every",
    "micro_batch_size",
    "output",
    "sample_every",
    "save_every",
    "tracker",
}
"""Settings that do not enter a run's result, so that a resumed run may have others."""
MAY_GO_ON_OTHERWISE = {"optimizer", "steps"}
"""Settings that a resumed run may have others of from there on, and says so."""


class RunDirectory:
    """Where a run keeps what it makes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.yaml"
        self.inputs = path / "inputs.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples.jsonl"
        self.states = path / "states"
        self.model = path / "model"
        self.adapter = path / "adapter"

    def check(self, settings: TrainSettings, *, resume: bool) -> Path | None:
        """See that a run may start, or go on, here; make the directory for one that starts.

        Returns:
            The newest state to resume from; None to start at step 0.

        Raises:
            ConfigError: there is a run here and it is not to be resumed, or its settings differ or
                are damaged; or there can be no directory here.
        """
        is_begun = self.settings.exists()
        if is_begun and not resume:
            raise ConfigError(
                f"{self.path} holds a run already. Continue it with --resume, or give another "
                "directory: --set output=..."
            )
        self._make()
        if not is_begun:
            return None
        self._require_fitting(settings)
        states = saved_states(self.states)
        if states and state_step(states[-1]) > settings.steps:
            raise ConfigError(
                f"steps = {settings.steps}, but {self.path} has made {state_step(states[-1])} "
                "updates already. Give at least as many."
            )
        return states[-1] if states else None

    def begin(self, settings: TrainSettings, inputs: dict[str, str], step: int) -> None:
        """Write settings and inputs down; drop log lines past `step`, to be written again.

        A crash in here leaves every file as it was, or as it is to be.

        Args:
            inputs: digests of what the settings name but do not hold: models and text.

        Raises:
            ConfigError: the run was started with other inputs, or a log line is of no step.
            CheckpointError: a file cannot be written.
        """
        if step:
            self._require_same(inputs)
        text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        replace_text(self.settings, text)
        replace_text(self.inputs, json.dumps(inputs, indent=2) + "\n")
        for path in (self.metrics, self.samples):
            if path.exists():
                kept = [line for line in _lines(path) if line["step"] <= step]
                replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def append(self, path: Path, values: dict[str, Any]) -> None:
        """Add one line to the metrics or samples.

        Raises:
            CheckpointError: it cannot be written.
        """
        with written(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def _require_fitting(self, settings: TrainSettings) -> None:
        before, now = self._started_with(), settings.model_dump(mode="json")
        free = MAY_CHANGE | MAY_GO_ON_OTHERWISE
        changed = list(differences(_without(before, free), _without(now, free)))
        if changed:
            raise ConfigError(
                f"{self.path} was started with other settings: {'; '.join(changed)}. Resume with "
                "those it was started with."
            )
        changed = list(differences(_without(before, MAY_CHANGE), _without(now, MAY_CHANGE)))
        if changed:
            logger.warning("%s goes on with other settings: %s", self.path, "; ".join(changed))

    def _require_same(self, inputs: dict[str, str]) -> None:
        if not self.inputs.exists():
            return  # a run of before they were written down
        try:
            before = dict(json.loads(self.inputs.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.inputs} is damaged: {error}. Delete it.") from error
        for name, digest in inputs.items():
            if before.get(name, digest) != digest:
                raise ConfigError(
                    f"{self.path} was started with other content of {_in_words(name)}. Bring the "
                    "old content back, or start anew in another directory: --set output=..."
                )

    def _make(self) -> None:
        try:
            self.states.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"output = {self.path} cannot be made: {error}. Give another directory, "
                "or remove what is in its place."
            ) from error

    def _started_with(self) -> dict[str, Any]:
        """The settings that the run here was started with."""
        try:
            settings = yaml.safe_load(self.settings.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"{self.settings} cannot be read: {error}. Give another directory: --set output=..."
            ) from error
        if not isinstance(settings, dict):
            raise ConfigError(
                f"{self.settings} holds no settings, so that this run cannot be resumed. Give "
                "another directory: --set output=..."
            )
        return settings


def _without(settings: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a line torn by a crash, be it within a character, is left out.
    Thoughts may hold characters that end lines elsewhere, such as U+2028.

    Raises:
        ConfigError: a whole line is of no step.
    """
    lines = []
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line = json.loads(text)
        except ValueError:  # no JSON, or no UTF-8
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise ConfigError(f"{path}, line {number} is of no step. Delete that line.")
        lines.append(line)
    return lines


def _in_words(name: str) -> str:
    """An input as an error names it: a model's digest is of an adapter's base as well."""
    base = "or of the base of its adapter (which older versions did not look at)"
    return f"{name}, {base}" if name in ("model", "teacher") else name

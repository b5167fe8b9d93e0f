"""The files of a run: config, inputs, metrics, samples, states, and the final model."""

import json
import logging
from pathlib import Path
from typing import Any

import yaml

from qstar_infer.errors import ConfigError
from qstar_train.atomic_write import replace_text, write_errors
from qstar_train.config import TrainConfig
from qstar_train.config_file import differences
from qstar_train.trainer.state import saved_states, state_step

logger = logging.getLogger(__name__)

MAY_CHANGE = {
    "gradient_checkpointing",
    "keep_every",
    "log_every",
    "micro_batch_size",
    "output",
    "sample_every",
    "save_every",
    "tracker",
}
"""Settings that do not affect the result: a resumed run may change them."""
MAY_CHANGE_FROM_HERE = {"optimizer", "steps"}
"""Settings that a resumed run may change for the remaining steps; it logs a warning."""


class RunDirectory:
    """Where a run keeps its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "settings.yaml"
        self.inputs = path / "inputs.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples.jsonl"
        self.states = path / "states"
        self.model = path / "model"
        self.adapter = path / "adapter"

    def check(self, config: TrainConfig, *, resume: bool) -> Path | None:
        """Check that a run may start or resume here; create the directory of a new run.

        Returns:
            The newest state to resume from; None to start at step 0.

        Raises:
            ConfigError: the directory holds a run and `resume` is false, the run's settings differ
                or are damaged, or the directory cannot be created.
        """
        is_begun = self.config.exists()
        if is_begun and not resume:
            raise ConfigError(
                f"{self.path} already holds a run. Continue it with --resume, or give another "
                "directory: --set output=..."
            )
        self._make()
        if not is_begun:
            return None
        self._check_config(config)
        states = saved_states(self.states)
        if states and state_step(states[-1]) > config.steps:
            raise ConfigError(
                f"steps = {config.steps}, but {self.path} has already made "
                f"{state_step(states[-1])} updates. Give at least as many."
            )
        return states[-1] if states else None

    def with_dtype(self, config: TrainConfig) -> TrainConfig:
        """The config with the dtype that the run here resolved `auto` to, if it did.

        A resumed run must not change its arithmetic because it resumes on another machine.

        Raises:
            ConfigError: `inputs.json` is damaged.
        """
        if config.dtype != "auto" or not self.config.exists():
            return config
        return config.model_copy(update={"dtype": self._read_inputs().get("dtype", "auto")})

    def begin(self, config: TrainConfig, inputs: dict[str, str], step: int) -> None:
        """Write config and inputs; delete log lines after `step`, which will be written again.

        A crash leaves each file as it was, or complete.

        Args:
            inputs: what the config names but does not hold: digests of models and text, the dtype.

        Raises:
            ConfigError: the run was started with other inputs, or a log line has no step.
            CheckpointError: a file cannot be written.
        """
        if step:
            self._check_inputs(inputs)
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        replace_text(self.config, text)
        replace_text(self.inputs, json.dumps(inputs, indent=2) + "\n")
        for path in (self.metrics, self.samples):
            if path.exists():
                kept = [line for line in _lines(path) if line["step"] <= step]
                replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def append(self, path: Path, values: dict[str, Any]) -> None:
        """Append one line to the metrics or samples.

        Raises:
            CheckpointError: it cannot be written.
        """
        with write_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def _check_config(self, config: TrainConfig) -> None:
        before, now = self._started_with(), config.model_dump(mode="json")
        free = MAY_CHANGE | MAY_CHANGE_FROM_HERE
        changed = list(differences(_without(before, free), _without(now, free)))
        if changed:
            raise ConfigError(
                f"{self.path} was started with other settings: {'; '.join(changed)}. Resume with "
                "the original ones."
            )
        changed = list(differences(_without(before, MAY_CHANGE), _without(now, MAY_CHANGE)))
        if changed:
            logger.warning("%s continues with other settings: %s", self.path, "; ".join(changed))

    def _check_inputs(self, inputs: dict[str, str]) -> None:
        before = self._read_inputs()
        for name, digest in inputs.items():
            if before.get(name, digest) != digest:
                base = ", or of the base of its adapter" if name in ("model", "teacher") else ""
                raise ConfigError(
                    f"{self.path} was started with other content of {name}{base}. Restore the old "
                    "content, or start a new run in another directory: --set output=..."
                )

    def _read_inputs(self) -> dict[str, str]:
        """The inputs that the run was started with; empty for runs of old versions."""
        if not self.inputs.exists():
            return {}
        try:
            return dict(json.loads(self.inputs.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.inputs} is damaged: {error}. Delete it.") from error

    def _make(self) -> None:
        try:
            self.states.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"output = {self.path} cannot be created: {error}. Give another directory, "
                "or remove the file that is in the way."
            ) from error

    def _started_with(self) -> dict[str, Any]:
        """The config that the run was started with."""
        try:
            config = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"{self.config} cannot be read: {error}. Give another directory: --set output=..."
            ) from error
        if not isinstance(config, dict):
            raise ConfigError(
                f"{self.config} holds no settings, so this run cannot be resumed. Give another "
                "directory: --set output=..."
            )
        return config


def _without(config: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def _lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log, without one that a crash cut off, even inside a character.

    Lines end with a newline only: thoughts may hold other line separators, such as U+2028.

    Raises:
        ConfigError: a complete line has no step.
    """
    lines = []
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line = json.loads(text)
        except ValueError:  # not JSON, or not UTF-8
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise ConfigError(f"{path}, line {number} has no step. Delete that line.")
        lines.append(line)
    return lines

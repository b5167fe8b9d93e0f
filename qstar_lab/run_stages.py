"""Run the stages of a lab, as many at once as there are jobs, each as soon as its inputs are there.

A stage that has finished with the same settings is not run again.
"""

import json
import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from qstar_infer.cli.terminal import printable
from qstar_lab.errors import LabError
from qstar_lab.forecast import seconds_left
from qstar_lab.stage import Stage, StageFiles, check_order, digests_of, forget
from qstar_lab.work.process import Process, start_stage
from qstar_train.atomic_write import replace_text

POLL_S = 0.1
SECONDS_TO_END = 10.0
"""After this, a process that was asked to end is killed."""
LOG_LINES = 15
Start = Callable[..., Process]
"""As `start_stage`."""


@dataclass(slots=True)
class Running:
    """A stage that runs."""

    stage: Stage
    process: Process
    began: float
    old_log: int = 0
    """Bytes of its log that an earlier process wrote."""
    step: int = 0
    """Of a training stage."""

    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def share_done(self) -> float:
        """From 0 to 1; for stages that log no steps, a guess."""
        if self.stage.num_steps:
            return self.step / self.stage.num_steps
        return min(0.95, self.elapsed() / self.stage.expected_s)


@dataclass(frozen=True, slots=True)
class View:
    """What a display shows."""

    num_done: int
    num_stages: int
    running: list[Running]
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Observer:
    """What is told about a run."""

    view: Callable[[View], None] = lambda _view: None
    """Several times a second."""
    began: Callable[[Stage], None] = lambda _stage: None
    ended: Callable[[Stage, float], None] = lambda _stage, _seconds: None
    """With the seconds that the stage took."""
    found: Callable[[Stage], None] = lambda _stage: None
    """The stage had finished in an earlier run."""


@dataclass(slots=True)
class StageRunner:
    """Runs the stages of one lab."""

    stages: Sequence[Stage]
    """Each behind those that it needs; those in front start first."""
    directory: Path
    num_jobs: int
    observer: Observer = field(default_factory=Observer)
    start: Start = start_stage
    _done: dict[str, float] = field(default_factory=dict)
    """Seconds of each finished stage."""
    _running: list[Running] = field(default_factory=list)
    _digests: dict[str, str] = field(default_factory=dict)

    def run(self) -> dict[str, float]:
        """Run what has not finished yet.

        Returns:
            The seconds that each stage took, now or in an earlier run, in their order.

        Raises:
            LabError: a stage failed; the others are ended.
        """
        check_order(self.stages)
        waiting = list(self.stages)
        self._digests = digests_of(self.stages, self.directory)
        try:
            while waiting or self._running:
                waiting = [stage for stage in waiting if not self._is_found(stage)]
                waiting = [stage for stage in waiting if not self._starts(stage)]
                self._collect()
                self.observer.view(self._view(waiting))
                if self._running:
                    time.sleep(POLL_S)
        finally:
            self._end_all()
        return {stage.name: self._done[stage.name] for stage in self.stages}

    def files(self, stage: Stage) -> StageFiles:
        """The files of a stage."""
        return StageFiles(self.directory / "stages", stage.name)

    def _is_ready(self, stage: Stage) -> bool:
        return all(name in self._done for name in stage.needs)

    def _is_found(self, stage: Stage) -> bool:
        """Whether an earlier run has finished the stage."""
        files = self.files(stage)
        is_done = files.is_done(self._digests[stage.name]) and stage.result.exists()
        if not is_done or not self._is_ready(stage):
            return False
        if stage.config is not None:  # its paths are others if the lab was moved
            write_settings(stage, files.settings)
        self._done[stage.name] = files.seconds()
        self.observer.found(stage)
        return True

    def _starts(self, stage: Stage) -> bool:
        """Start the stage if its inputs and a core are there; whether it has started."""
        is_room = len(self._running) < (1 if stage.runs_alone else self.num_jobs)
        is_alone = any(running.stage.runs_alone for running in self._running)
        if not is_room or is_alone or not self._is_ready(stage):
            return False
        self._running.append(self._start(stage))
        self.observer.began(stage)
        return True

    def _start(self, stage: Stage) -> Running:
        files, digest = self.files(stage), self._digests[stage.name]
        resumes = files.is_begun(digest)
        if not resumes:
            forget(stage)
        files.mark_begun(digest)
        settings = write_settings(stage, files.settings)
        continues = resumes and stage.output is not None and stage.output.exists()
        old_log = files.log.stat().st_size if continues and files.log.exists() else 0
        process = self.start(stage.work, settings, files.log, resumes=continues)
        step = last_step(stage) if continues else 0
        return Running(stage, process, time.monotonic(), old_log, step)

    def _collect(self) -> None:
        """Take note of processes that have ended, and of the steps of the others.

        Raises:
            LabError: one has failed.
        """
        for running in list(self._running):
            stage, code = running.stage, running.process.exitcode
            if code is None:
                running.step = last_step(stage)
                continue
            self._running.remove(running)
            if code != 0:
                raise LabError(self._failure(running, code))
            seconds = running.elapsed()
            self.files(stage).mark_done(self._digests[stage.name], seconds)
            self._done[stage.name] = seconds
            self.observer.ended(stage, seconds)

    def _failure(self, running: Running, code: int) -> str:
        stage, files = running.stage, self.files(running.stage)
        log = files.log.read_bytes()[running.old_log :]
        lines = log.decode("utf-8", errors="replace").splitlines()
        # Our own errors say everything.
        ours = [index for index, line in enumerate(lines) if line.startswith("error: ")]
        reason = "\n".join(lines[ours[-1] if ours else -LOG_LINES :]).removeprefix("error: ")
        return (
            f"{stage.name} ({stage.title}) failed with exit code {code}:\n{printable(reason)}\n"
            f"The whole log is in {files.log}, the settings are in "
            f"{stage.config or files.settings}. After a change, run the same command again: "
            "finished stages are kept."
        )

    def _view(self, waiting: Sequence[Stage]) -> View:
        speed = self._slowness()
        remaining = {stage.name: stage.expected_s * speed for stage in waiting}
        for running in self._running:
            left = 1 - running.share_done()
            remaining[running.stage.name] = running.stage.expected_s * speed * left
        left_s = seconds_left(self.stages, remaining, num_jobs=self.num_jobs)
        return View(len(self._done), len(self.stages), list(self._running), left_s)

    def _slowness(self) -> float:
        """How much longer than expected stages take on this machine, from those so far."""
        expected = taken = 0.0
        for stage in self.stages:
            if stage.name in self._done:
                expected += stage.expected_s
                taken += self._done[stage.name]
        for running in self._running:
            if running.stage.num_steps and running.step:
                expected += running.stage.expected_s * running.share_done()
                taken += running.elapsed()
        return taken / expected if expected else 1.0

    def _end_all(self) -> None:
        """End what still runs, and wait for it."""
        for running in self._running:
            running.process.terminate()
        deadline = time.monotonic() + SECONDS_TO_END
        for running in self._running:
            running.process.join(max(0.0, deadline - time.monotonic()))
            if running.process.exitcode is None:
                running.process.kill()
                running.process.join()
        self._running.clear()


def write_settings(stage: Stage, path: Path) -> Path:
    """Write the file that the stage's process reads.

    Args:
        path: of the file, for a stage that does not train.
    """
    if stage.config is None:
        replace_text(path, json.dumps(dict(stage.settings), indent=2) + "\n")
        return path
    stage.config.parent.mkdir(parents=True, exist_ok=True)
    title = f"# {stage.name}: {stage.title}"
    config = shlex.quote(str(stage.config))
    command = f"# qstar train --config {config} --set output=ANOTHER/DIRECTORY"
    values = yaml.safe_dump(dict(stage.settings), sort_keys=False)
    replace_text(stage.config, f"{title}\n{command}\n{values}")
    return stage.config


def last_step(stage: Stage) -> int:
    """The newest step that a training stage has logged; 0 for other stages."""
    if stage.output is None:
        return 0
    with suppress(OSError, ValueError, KeyError, IndexError):
        with (stage.output / "metrics.jsonl").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            complete = file.read().split(b"\n")[:-1]
        return int(json.loads(complete[-1])["step"])
    return 0

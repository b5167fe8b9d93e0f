"""Stages whose processes are Python without torch: they note when they run, fail, wait or meet."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_lab.run_stages import Observer, StageRunner
from qstar_lab.stage import Stage

CODE = """
import json, pathlib, sys, time
work, settings, resumes = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
with open(settings["notes"], "a") as notes:
    notes.write(f"begin {settings['name']} {resumes}\\n")
if work == "fail":
    print("a line of the log")
    sys.exit("error: it is broken. Mend it.")
while work == "meet" and open(settings["notes"]).read().count("begin") < 2:
    time.sleep(0.02)
if work == "raise":
    raise ValueError("nobody expected this")
time.sleep(settings["seconds"])
pathlib.Path(settings["result"]).write_text("made")
with open(settings["notes"], "a") as notes:
    notes.write(f"end {settings['name']}\\n")
"""


@dataclass
class FakeProcess:
    """A subprocess in the form of a process of `multiprocessing`."""

    popen: "subprocess.Popen[bytes]"

    @property
    def exitcode(self) -> int | None:
        return self.popen.poll()

    def terminate(self) -> None:
        self.popen.terminate()

    def kill(self) -> None:
        self.popen.kill()

    def join(self, timeout: float | None = None) -> None:
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return


def start_fake(work: str, settings: Path, log: Path, *, resumes: bool) -> FakeProcess:
    with log.open("wb") as file:
        command = [sys.executable, "-S", "-c", CODE, work, str(settings), str(resumes)]
        return FakeProcess(subprocess.Popen(command, stdout=file, stderr=file))


class FakeLab:
    """Stages in a directory, and the notes of their processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes = directory / "notes.txt"
        self.stages: list[Stage] = []

    def add(
        self,
        name: str,
        *needs: str,
        seconds: float = 0.0,
        work: str = "wait",
        runs_alone: bool = False,
        **settings: Any,
    ) -> Stage:
        result = self.directory / f"{name}.result"
        values = {"name": name, "notes": str(self.notes), "seconds": seconds, "result": str(result)}
        stage = Stage(
            name=name,
            title=f"make {name}",
            work=work,
            settings=values | settings,
            needs=needs,
            expected_s=1.0,
            runs_alone=runs_alone,
        )
        self.stages.append(stage)
        return stage

    def run(self, *, num_jobs: int = 2, observer: Observer | None = None) -> dict[str, float]:
        runner = StageRunner(
            self.stages, self.directory, num_jobs, observer or Observer(), start_fake
        )
        return runner.run()

    def read_notes(self) -> list[list[str]]:
        """The words of each note, in the order of time; the file is emptied."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [line.split() for line in lines]

    def begun(self) -> list[str]:
        """Names of the stages that ran since the last call."""
        return [words[1] for words in self.read_notes() if words[0] == "begin"]


def wait_for(condition: Any, *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def most_at_once(notes: Sequence[Sequence[str]]) -> int:
    """The most stages that ran at one time."""
    most = now = 0
    for words in notes:
        now += 1 if words[0] == "begin" else -1
        most = max(most, now)
    return most

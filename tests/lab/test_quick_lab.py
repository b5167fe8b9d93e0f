"""The whole lab, in seconds: too short to learn anything, but every stage runs, and continues."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qstar_infer.errors import ConfigError
from qstar_lab.errors import LabError
from qstar_lab.lab import run_lab
from qstar_lab.recipe import recipes_of
from qstar_lab.run_stages import Observer
from qstar_lab.stage import Stage

QUICK = replace(recipes_of(["pointer_hops"], is_quick=True)[0], documents_per_window=2)
"""With several documents a window, so that the speed is measured too."""
STAGES = [
    *("materials", "base", "check-base", "thinking", "silent", "random"),
    *("scores-base", "scores-thinking", "scores-silent", "scores-random"),
    *("over-training", "served", "examples", "speed"),
]


class Notes:
    """Names of the stages that ran, and of those that were kept."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.found: list[str] = []
        self.observer = Observer(
            ended=lambda stage, _: self.ended.append(self._short(stage)),
            found=lambda stage: self.found.append(self._short(stage)),
        )

    def _short(self, stage: Stage) -> str:
        return stage.name.removeprefix("pointer_hops/seed-0/")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Notes]:
    directory, notes = tmp_path_factory.mktemp("lab"), Notes()
    run_lab([QUICK], directory, num_seeds=1, num_jobs=2, observer=notes.observer)
    return directory, notes


def test_every_stage_runs_and_the_page_is_there(finished: tuple[Path, Notes]) -> None:
    directory, notes = finished
    assert sorted(notes.ended) == sorted(STAGES)
    page = (directory / "index.html").read_text()
    assert "Pointer hops" in page
    results = json.loads((directory / "results.json").read_text())["pointer_hops"]
    kinds = {(score["model"], score["kind"], score["length"]) for score in results["scores"]}
    lengths = (1, 2, 4, 8)
    thinking = {
        ("thinking", kind, length)
        for kind in ("sampled", "greedy", "random", "shuffled")
        for length in lengths
    }
    plain = {(model, "none", 0) for model in ("base", "thinking", "silent", "random")}
    assert kinds == thinking | plain | {("random", "random", length) for length in lengths}
    assert [point["step"] for point in results["over_training"]] == [0, 2, 4]
    assert len(results["examples"][0]["thought"]) == 8
    # The last state is the model: the same questions, thoughts and answers.
    (longest,) = [
        score
        for score in results["scores"]
        if (score["model"], score["kind"], score["length"]) == ("thinking", "sampled", 8)
    ]
    assert results["over_training"][-1]["accuracy"] == longest["accuracy"]


def test_the_trained_model_is_a_checkpoint_with_a_rule(finished: tuple[Path, Notes]) -> None:
    directory, _ = finished
    model = directory / "pointer_hops/seed-0/thinking/model"
    stored = json.loads((model / "quiet_star.json").read_text())
    assert stored["num_thought_tokens"] == 8
    assert stored["thinking"]["where"] in ("gate", "behind")
    assert not (directory / "pointer_hops/seed-0/silent/model/quiet_star.json").exists()


def test_a_finished_lab_only_writes_its_page(finished: tuple[Path, Notes]) -> None:
    directory, _ = finished
    (directory / "index.html").unlink()
    notes = Notes()
    run_lab([QUICK], directory, num_seeds=1, num_jobs=2, observer=notes.observer)
    assert notes.ended == []
    assert sorted(notes.found) == sorted(STAGES)
    assert (directory / "index.html").exists()


def test_a_lab_goes_on_from_any_directory_and_after_it_was_moved(
    finished: tuple[Path, Notes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out .` ran a finished lab again, and a moved one looked for its runs at the old place."""
    directory, _ = finished
    moved = tmp_path / "a new place"
    shutil.copytree(directory, moved)
    monkeypatch.chdir(moved)
    notes = Notes()
    run_lab([QUICK], Path(), num_seeds=1, num_jobs=2, observer=notes.observer)
    assert notes.ended == []
    (moved / "stages" / "pointer_hops.seed-0.over-training.done").unlink()
    measured = moved / "pointer_hops" / "seed-0" / "measures" / "over-training.json"
    expected = json.loads(measured.read_text())
    measured.unlink()
    hidden = directory.rename(tmp_path / "hidden")
    try:
        run_lab([QUICK], Path(), num_seeds=1, num_jobs=2, observer=notes.observer)
    finally:
        hidden.rename(directory)
    assert notes.ended == ["over-training"]
    assert json.loads(measured.read_text()) == expected


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """In the lab's own process and in that of a stage."""
    (tmp_path / "stages").touch()
    with pytest.raises(LabError, match="cannot be read or written: .*stages'. Correct that"):
        run_lab([QUICK], tmp_path, num_seeds=1, num_jobs=1, observer=Observer())
    (tmp_path / "stages").unlink()
    (tmp_path / "pointer_hops").touch()
    with pytest.raises(LabError, match="code 2:\na file cannot be read or written: .*text'"):
        run_lab([QUICK], tmp_path, num_seeds=1, num_jobs=1, observer=Observer())


def test_a_base_that_cannot_write_the_working_stops_the_lab(finished: tuple[Path, Notes]) -> None:
    """The finished stages before the check are kept, and nothing after it runs."""
    directory, _ = finished
    notes = Notes()
    demanding = replace(QUICK, least_working=0.98)
    with pytest.raises(LabError) as caught:
        run_lab([demanding], directory, num_seeds=1, num_jobs=2, observer=notes.observer)
    message = str(caught.value)
    assert "the base writes the whole working of only 0.0% of the held-out questions" in message
    assert "nothing would be learned afterwards. It needs more than 4 steps" in message
    assert notes.found == ["materials", "base"]
    assert notes.ended == []


def test_two_labs_do_not_share_a_directory(tmp_path: Path) -> None:
    code = f"""
import fcntl, sys
file = open({str(tmp_path / "lock")!r}, "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes, env=os.environ) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigError, match="another lab runs in"):
            run_lab([QUICK], tmp_path, num_seeds=1, num_jobs=1, observer=Observer())
        other.stdin.close()

"""Stages run in order, at most so many at once; what is done is kept; failures are explained."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qstar_lab.errors import LabError
from qstar_lab.run_stages import Observer, StageRunner, View, last_step, write_settings
from qstar_lab.stage import Stage, StageFiles, check_order, digests_of
from qstar_lab.work.process import Process

from .fake_stages import FakeLab, FakeProcess, most_at_once, wait_for


def diamond(directory: Path) -> FakeLab:
    lab = FakeLab(directory)
    lab.add("a")
    lab.add("b", "a", seconds=0.3)
    lab.add("c", "a", seconds=0.3)
    lab.add("d", "b", "c")
    return lab


def test_a_stage_begins_after_what_it_needs_has_ended(tmp_path: Path) -> None:
    lab = diamond(tmp_path)
    seconds = lab.run()
    notes = lab.read_notes()
    when = {(words[0], words[1]): index for index, words in enumerate(notes)}
    for stage in lab.stages:
        for need in stage.needs:
            assert when["end", need] < when["begin", stage.name]
    assert list(seconds) == ["a", "b", "c", "d"]
    assert seconds["b"] >= 0.3


def test_no_more_stages_at_once_than_jobs(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    for name in "abcd":
        lab.add(name, seconds=0.2)
    lab.run(num_jobs=1)
    assert most_at_once(lab.read_notes()) == 1
    for name in "efghi":
        lab.add(name, seconds=0.1)
    lab.run(num_jobs=3)
    assert most_at_once(lab.read_notes()) <= 3


def test_as_many_stages_at_once_as_jobs(tmp_path: Path) -> None:
    """Each of the two ends only after the other has begun."""
    lab = FakeLab(tmp_path)
    lab.add("a", work="meet")
    lab.add("b", work="meet")
    lab.run(num_jobs=2)
    assert most_at_once(lab.read_notes()) == 2


def test_nothing_runs_beside_a_stage_that_measures_speed(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    lab.add("a", seconds=0.2)
    lab.add("alone", seconds=0.3, runs_alone=True)
    for name in "bcd":
        lab.add(name, seconds=0.2)
    lab.run()
    words = [(kind, name) for kind, name, *_ in lab.read_notes()]
    at = words.index(("begin", "alone"))
    assert words[at + 1] == ("end", "alone")
    before = words[:at]
    assert sum(1 if kind == "begin" else -1 for kind, _ in before) == 0


def test_finished_stages_are_not_run_again(tmp_path: Path) -> None:
    lab = diamond(tmp_path)
    first = lab.run()
    assert sorted(lab.begun()) == ["a", "b", "c", "d"]
    found: list[str] = []
    second = lab.run(observer=Observer(found=lambda stage: found.append(stage.name)))
    assert lab.begun() == []
    assert found == ["a", "b", "c", "d"]
    assert second == pytest.approx(first, abs=0.06)  # markers hold a tenth of a second


def test_changed_settings_redo_the_stage_and_what_needs_it(tmp_path: Path) -> None:
    lab = diamond(tmp_path)
    lab.run()
    lab.begun()
    lab.stages[1] = replace(lab.stages[1], settings={**lab.stages[1].settings, "seconds": 0.1})
    lab.run()
    assert lab.begun() == ["b", "d"]
    lab.run()
    assert lab.begun() == []


def test_a_stage_whose_result_is_gone_runs_again(tmp_path: Path) -> None:
    lab = diamond(tmp_path)
    lab.run()
    lab.begun()
    lab.stages[3].result.unlink()
    lab.run()
    assert lab.begun() == ["d"]


def test_a_damaged_marker_counts_as_none(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    lab.add("a")
    lab.run()
    lab.begun()
    StageFiles(tmp_path / "stages", "a").done.write_text('{"dig')
    lab.run()
    assert lab.begun() == ["a"]


def test_a_failure_ends_the_others_and_says_what_to_do(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    lab.add("slow", seconds=60)
    lab.add("bad", work="fail")
    lab.add("after", "bad")
    with pytest.raises(LabError) as caught:
        lab.run()
    message = str(caught.value)
    assert "bad (make bad) failed with exit code 1:\nit is broken. Mend it.\n" in message
    assert "a line of the log" not in message  # our own message says everything
    assert f"The whole log is in {tmp_path / 'stages' / 'bad.log'}" in message
    assert "run the same command again: finished stages are kept" in message
    assert not [words for words in lab.read_notes() if words[0] == "end" or words[1] == "after"]


def test_an_unknown_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    lab.add("odd", work="raise")
    with pytest.raises(LabError, match="ValueError: nobody expected this"):
        lab.run()


def test_ctrl_c_ends_the_stages_and_the_next_run_continues(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    lab.add("a")
    lab.add("b", "a", seconds=60)
    processes: list[Process] = []

    def interrupt(view: View) -> None:
        processes.extend(running.process for running in view.running)
        if any(running.stage.name == "b" for running in view.running):
            wait_for(lambda: "begin b" in lab.notes.read_text())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.run(observer=Observer(view=interrupt))
    assert processes[-1].exitcode == -15  # SIGTERM
    lab.begun()
    lab.stages[1] = replace(lab.stages[1], settings={**lab.stages[1].settings, "seconds": 0})
    lab.run()
    assert lab.begun() == ["b"]


def training(directory: Path, **changes: object) -> Stage:
    settings = {"output": str(directory / "run"), "steps": 10, "notes": "", **changes}
    return Stage(name="t/run", title="train", work="train", settings=settings, expected_s=1.0)


def test_a_training_run_continues_only_with_the_same_settings(tmp_path: Path) -> None:
    """With others, `qstar train --resume` would refuse what the run has written."""
    stage = training(tmp_path)
    assert stage.output is not None
    calls: list[bool] = []

    def start(_work: str, _settings: Path, log: Path, *, resumes: bool) -> Process:
        calls.append(resumes)
        assert stage.output is not None
        assert stage.output.exists() == resumes
        log.write_text("error: stopped")
        stage.output.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    for settings in (stage, stage, training(tmp_path, steps=20)):
        with pytest.raises(KeyboardInterrupt):
            StageRunner([settings], tmp_path, 1, start=start).run()
    assert calls == [False, True, False]


def test_a_training_run_that_was_moved_begins_anew(tmp_path: Path) -> None:
    """`qstar train --resume` would refuse the new paths of its model and text."""
    calls: list[bool] = []

    def start(_work: str, settings: Path, log: Path, *, resumes: bool) -> Process:
        calls.append(resumes)
        log.write_text("interrupted")
        settings.with_suffix("").mkdir(exist_ok=True)
        raise KeyboardInterrupt

    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, one, other, other):
        if directory == other and not other.exists():
            one.rename(other)
        with pytest.raises(KeyboardInterrupt):
            StageRunner([training(directory)], directory, 1, start=start).run()
    assert calls == [False, True, False, True]


def test_an_old_failure_does_not_explain_a_new_one(tmp_path: Path) -> None:
    """The log of a run that goes on has the messages of both processes."""
    stage = training(tmp_path)
    messages = iter(["error: the disk is full", "Traceback: something else"])

    def start(_work: str, settings: Path, log: Path, *, resumes: bool) -> Process:
        settings.with_suffix("").mkdir(exist_ok=True)
        with log.open("a" if resumes else "w") as file:
            print(next(messages), file=file)
        ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
        ended.wait()
        return FakeProcess(ended)

    for expected in ("the disk is full", "Traceback: something else"):
        with pytest.raises(LabError, match=f"code 1:\n{expected}\n"):
            StageRunner([stage], tmp_path, 1, start=start).run()


def test_the_newest_logged_step_is_read_from_the_end(tmp_path: Path) -> None:
    stage = training(tmp_path)
    assert last_step(stage) == 0
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "metrics.jsonl"
    lines = [json.dumps({"step": step, "filler": "x" * 900}) for step in range(1, 8)]
    path.write_text("\n".join(lines) + '\n{"step": 8, "fil')
    assert last_step(stage) == 7


def test_settings_of_training_are_a_config_beside_the_run(tmp_path: Path) -> None:
    stage = training(tmp_path)
    path = write_settings(stage, tmp_path / "not-this.json")
    assert path == tmp_path / "run.yaml"
    head, command, first, *_ = path.read_text().splitlines()
    assert head == "# t/run: train"
    assert command.startswith(f"# qstar train --config {path} ")
    assert first == f"output: {tmp_path / 'run'}"


def test_a_lab_that_is_moved_keeps_its_stages(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    digests = [digests_of([training(path)], path) for path in (first, second)]
    assert digests[0] == digests[1]
    assert digests_of([training(first, steps=11)], first) != digests[0]


def test_order_is_checked(tmp_path: Path) -> None:
    lab = FakeLab(tmp_path)
    a, b = lab.add("a"), lab.add("b", "a")
    check_order([a, b])
    with pytest.raises(AssertionError, match="b is before what it needs"):
        check_order([b, a])
    with pytest.raises(AssertionError, match="two stages are named a"):
        check_order([a, a])

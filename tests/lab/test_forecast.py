"""The estimate of the time left: cases that can be worked out by hand."""

from pathlib import Path

import pytest

from qstar_lab.forecast import duration_text, seconds_left

from .fake_stages import FakeLab


def lab_of(directory: Path, *stages: tuple[str, ...]) -> FakeLab:
    lab = FakeLab(directory)
    for name, *needs in stages:
        lab.add(name.strip("!"), *needs, runs_alone=name.endswith("!"))
    return lab


@pytest.mark.parametrize(("num_jobs", "expected"), [(1, 40), (2, 20), (3, 20), (4, 10), (9, 10)])
def test_independent_stages_share_the_jobs(tmp_path: Path, num_jobs: int, expected: float) -> None:
    lab = lab_of(tmp_path, ("a",), ("b",), ("c",), ("d",))
    left = seconds_left(lab.stages, dict.fromkeys("abcd", 10.0), num_jobs=num_jobs)
    assert left == expected


def test_a_chain_takes_its_sum(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, ("a",), ("b", "a"), ("c", "b"))
    remaining = {"a": 1.0, "b": 2.0, "c": 4.0}
    assert seconds_left(lab.stages, remaining, num_jobs=2) == 7
    assert seconds_left(lab.stages, {"b": 0.5, "c": 4.0}, num_jobs=2) == 4.5
    assert seconds_left(lab.stages, {}, num_jobs=2) == 0


def test_a_stage_that_runs_alone_waits_for_all(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, ("a",), ("b",), ("alone!", "a"), ("c",))
    remaining = {"a": 1.0, "b": 5.0, "alone": 2.0, "c": 1.0}
    assert seconds_left(lab.stages, remaining, num_jobs=2) == 8


def test_durations_are_read_by_people() -> None:
    shown = [duration_text(seconds) for seconds in (-1, 0.4, 59, 61, 3599, 3700)]
    assert shown == ["0 s", "0 s", "59 s", "1 min", "1 h 00 min", "1 h 02 min"]

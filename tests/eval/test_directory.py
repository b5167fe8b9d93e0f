"""A run's directory: one process at a time, and no records twice."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qstar_eval import directory as run_directory
from qstar_eval.directory import claimed
from qstar_eval.units import UnitFile
from qstar_infer.errors import ConfigError

HOLD = """
import sys, time
from pathlib import Path
from qstar_eval.directory import claimed
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    """Two on one directory wrote every record twice, or crashed on each other's files."""
    out = tmp_path / "new" / "out"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(ConfigError, match="another evaluation is running in it"), claimed(out):
            pytest.fail("claimed twice")
        process.send_signal(signal.SIGKILL)
    (out / "settings.tmp").write_text("{")
    with claimed(out):
        pass
    with claimed(out):
        pass


def test_a_foreign_directory_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other things"), claimed(tmp_path):
        pytest.fail("claimed")
    with pytest.raises(ConfigError, match="is a file"), claimed(tmp_path / "thesis.txt"):
        pytest.fail("claimed")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_locks_a_run_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_directory, "fcntl", None)
    with claimed(tmp_path), claimed(tmp_path):
        pass


def test_a_unit_counts_once(tmp_path: Path) -> None:
    """Records that two processes had both written weighed twice in every mean."""
    path = tmp_path / "x.jsonl"
    rows = [{"index": 1, "by": "a"}, {"index": 0, "by": "a"}, {"index": 1, "by": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert UnitFile(path).records() == [rows[1], rows[0]]

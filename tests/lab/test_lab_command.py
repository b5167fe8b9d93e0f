"""`qstar lab` as a person meets it: options, Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

MAIN = "from qstar_infer.cli.main import main; main()"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", MAIN, "lab", *arguments]


def test_help_lists_options_and_questions() -> None:
    shown = subprocess.run(command("--help"), capture_output=True, text=True, check=True).stdout
    for part in ("--out", "--seeds", "--jobs", "--task", "questions"):
        assert part in shown
    assert "--quick" not in shown


def test_an_unknown_task_is_an_error(tmp_path: Path) -> None:
    arguments = command("--task", "chess", "--out", str(tmp_path / "lab"))
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "'chess' is unknown; the tasks are digit_chains, pointer_hops" in result.stderr
    assert not (tmp_path / "lab").exists()


def heed_signals() -> None:
    """Undo what a shell does for a background job, or nohup: ignore these signals."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def lab_at_its_base(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A quick lab that has just begun to train its base, with a session of its own."""
    with subprocess.Popen(
        command("--quick", "--task", "pointer_hops", "--out", str(directory)),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        start_new_session=True,
        preexec_fn=heed_signals,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("begin  pointer_hops/seed-0/base"):
                break
        yield process


def test_ctrl_c_ends_every_process_and_says_how_to_continue(tmp_path: Path) -> None:
    with lab_at_its_base(tmp_path) as process:
        assert process.stderr is not None
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stderr.read()
        assert process.wait(30) == 130
    assert "Traceback" not in rest
    assert "Stopped. The same command continues: qstar lab --quick" in rest
    assert str(tmp_path) in rest
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_no_stage_survives_the_lab(tmp_path: Path, number: int) -> None:
    """Stages went on after SIGKILL, and the next lab ran the same ones beside them."""
    with lab_at_its_base(tmp_path) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) > 1
        process.send_signal(number)
        assert process.wait(30) == -number
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not (tmp_path / "pointer_hops" / "seed-0" / "base" / "model").exists()


def test_the_labs_own_process_has_no_torch() -> None:
    """It only starts others, so it begins at once and leaves them the memory."""
    code = "import sys, qstar_lab.lab, qstar_lab.display; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.strip() == b"False"

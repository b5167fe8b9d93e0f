"""`qstar lab questions`, as a process."""

import json
import subprocess
import sys

from qstar_lab.corpus import questions
from qstar_lab.tasks.registry import TASKS

WITHOUT_TORCH = (
    "import sys; sys.modules |= dict.fromkeys(['torch', 'transformers', 'tokenizers', 'yaml'])\n"
    "from qstar_infer.cli.main import main; main()"
)


def command(*options: str) -> list[str]:
    return [sys.executable, "-c", WITHOUT_TORCH, "lab", "questions", *options]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), capture_output=True, text=True, check=False)


def test_prints_json_lines_without_torch() -> None:
    for options, task in (([], "digit_chains"), (["--task", "pointer_hops"], "pointer_hops")):
        result = run("--count", "3", "--seed", "4", *options)
        assert (result.returncode, result.stderr) == (0, "")
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert found == list(questions(TASKS[task], count=3, seed=4))


def test_ends_quietly_when_the_reader_has_enough() -> None:
    """As in `qstar lab questions --count 100000 | head -1`."""
    pipe = subprocess.PIPE
    arguments = command("--count", "100000")
    with subprocess.Popen(arguments, text=True, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()).keys() == {"prompt", "answer"}
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141  # as a shell reports the end by a closed pipe


def test_wrong_options_are_refused_by_name() -> None:
    result = run("--task", "sums")
    assert result.returncode == 2
    assert "error: task = 'sums' is unknown; the tasks are digit_chains" in result.stderr
    result = run("--count", "0")
    assert result.returncode == 2
    assert "--count" in result.stderr


def test_options_of_the_lab_are_refused() -> None:
    """`qstar lab --task pointer_hops questions` printed questions of the other task."""
    questions = command("--count", "1")
    arguments = [*questions[:-3], "--task", "pointer_hops", *questions[-3:]]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--task before 'questions' would have no effect" in result.stderr

"""Each program of `examples/` runs, on a toy model, and prints what it promises."""

import re
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qstar_client import Completion, QStarClient
from qstar_server.settings.config import ServerConfig

from qstar_infer.checkpoint import lab
from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs

from ..lab.reference import solve_digits
from ..lab.toy_model import save_toy_lab
from ..server.live_server import start_server
from ..server.real_engine import create_real_engine, save_toy

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_LINES = 60
STEP_LINE = re.compile(r"^'.*' +-?\d+\.\d\d  '.*'$", re.MULTILINE)
"""A token, its mixing weight and its thought."""
CONFIG = ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1)

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a program as `python examples/NAME ARGUMENTS` does; returns what it prints."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a checkpoint."""
    return str(save_toy(tmp_path_factory.mktemp("toy") / "checkpoint"))


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a real engine."""
    engine = create_real_engine(tmp_path_factory.mktemp("served") / "checkpoint")
    server = start_server(engine, CONFIG)
    yield server.url
    server.stop()
    engine.close()


def test_offline_batch(run: Run, toy: str) -> None:
    *requests, last = run("offline_batch.py", "--model", toy).splitlines()
    assert len(requests) == 3 * 2
    assert requests[0].startswith("'The capital of France is' -> '")
    assert re.fullmatch(r" +[+-]\d+\.\d{3} nats per token from its thoughts", requests[1])
    counts = re.fullmatch(r"(\d+) tokens, (\d+) thought tokens, \d+ passes", last)
    assert counts
    tokens, thought_tokens = map(int, counts.groups())
    assert 3 * 4 <= tokens <= 3 * 4 * 12, "four candidates for each of three prompts"
    assert thought_tokens == tokens * 3


def test_read_thoughts(run: Run, toy: str) -> None:
    mean, _, *tokens = run("read_thoughts.py", "--model", toy).splitlines()
    assert re.match(r"[+-]\d\.\d{4} nats per token", mean)
    found = [re.search(r" +-\d+\.\d+ ([+-]\d+\.\d+)  thought '.+'$", line) for line in tokens]
    changes = [abs(float(match[1])) for match in found if match]
    assert len(changes) == 8
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] > 0


def test_lab_thoughts(run: Run, tmp_path: Path) -> None:
    model = str(save_toy_lab(tmp_path / "lab"))
    *shares, _, first, second = run(
        "lab_thoughts.py", "--model", model, "--count", "2"
    ).splitlines()
    found = [re.fullmatch(r" ?(\d+) thought tokens: +(\d+\.0)% right", line) for line in shares]
    assert [match[1] for match in found if match] == ["0", "1", "2", "4", "8", "16"]
    assert {match[2] for match in found if match} <= {"0.0", "50.0", "100.0"}
    for line in (first, second):
        chain, working, *_ = line.split()
        values = solve_digits(f"{chain}?")
        assert working == "".join(map(str, values)).ljust(16, str(values[-1]))


def test_the_lab_model_is_the_examples_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lab, "LAB_DIRECTORY", save_toy_lab(tmp_path / "lab_model"))
    assert len(run("lab_thoughts.py", "--count", "1").splitlines()) == 6 + 1 + 1


def test_stream_with_client(run: Run, base_url: str) -> None:
    output = run("stream_with_client.py", "--base-url", base_url, "--prompt", "The sky")
    assert len(STEP_LINE.findall(output)) == 16
    assert "\nThe sky" in output
    assert "completion_tokens=16 " in output
    assert "reasoning_tokens=48" in output


def test_chat_with_client(run: Run, base_url: str) -> None:
    output = run("chat_with_client.py", "--base-url", base_url, "--question", "Who?")
    answer, _, table = output.partition("\n[length]\n")
    assert answer
    assert re.search(r"^token +thought +weight +base +mixed +change$", table, re.MULTILINE)
    # A number that rounds to zero has no sign.
    numbers = re.findall(r" -?\d+\.\d\d( +-?\d+\.\d\d){2} +[+-]?\d+\.\d\d$", table, re.MULTILINE)
    assert len(numbers) == 40


def test_openai_package(run: Run, base_url: str) -> None:
    output = run("openai_package.py", "--base-url", base_url, "--prompt", "The sky")
    assert output.startswith("The sky")
    assert len(STEP_LINE.findall(output)) == 8
    assert "completion_tokens=8," in output
    assert "reasoning_tokens=24" in output


def test_train_small(run: Run, toy: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and saw the red sun\n" * 60, encoding="utf-8")
    directory = tmp_path / "run"
    output = run("train_small.py", str(text), "--model", toy, "--output", str(directory))
    assert len(STEP_LINE.findall(output)) == 8
    assert output.endswith(f"serve it: qstar serve {directory / 'model'}\n")
    completion = completion_of(
        create_async_engine(EngineArgs.of(model=str(directory / "model"), num_blocks=512))
    )
    assert completion.choices[0].thoughts
    assert all(len(thought.thought_token_ids) == 3 for thought in completion.choices[0].thoughts)


def completion_of(engine: Engine) -> Completion:
    """What a server with this engine answers."""
    server = start_server(engine, CONFIG)
    try:
        with QStarClient(base_url=server.url) as client:
            return client.completions.create(prompt="the cat", show_thoughts=True)
    finally:
        server.stop()
        engine.close()


def test_every_example_is_short_listed_and_tested() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"^\| \[(\S+)\]\(\1\)", index, re.MULTILINE)) == programs
    assert {f"{name.removeprefix('test_')}.py" for name in globals()} >= programs
    for name in programs:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < MAX_LINES

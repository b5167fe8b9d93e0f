"""The lab's questions, sent to a server of `lab` as they are printed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qstar_server.settings.config import ServerConfig
from typer.testing import CliRunner

from qstar_infer.checkpoint import lab
from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from qstar_lab.cli import app

from ..server.live_server import start_server
from .toy_model import save_toy_lab

CONFIG = ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `qstar serve lab` starts, with a toy as package data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab, "LAB_DIRECTORY", save_toy_lab(tmp_path_factory.mktemp("lab") / "model"))
        engine = create_async_engine(EngineArgs.of(model="lab", device="cpu", num_blocks=512))
    server = start_server(engine, CONFIG)
    yield server.url
    server.stop()
    engine.close()


def complete(url: str, prompt: str, **fields: Any) -> dict[str, Any]:
    """The choice of a completion."""
    body = {"model": "qstar-lab", "prompt": prompt, "max_tokens": 4, **fields}
    response = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


def test_its_name(url: str) -> None:
    models = httpx.get(f"{url}/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["qstar-lab"]


def test_a_question_is_answered_with_a_thought_behind_it(url: str) -> None:
    lines = CliRunner().invoke(app, ["questions", "--count", "3"]).stdout.splitlines()
    for prompt in [json.loads(line)["prompt"] for line in lines]:
        choice = complete(url, prompt, temperature=0, show_thoughts=True, ignore_eos=True)
        first, *others = choice["thoughts"]
        assert len(first["thought_token_ids"]) == 16
        assert first["mixing_weight"] != 0
        assert [other["thought"] for other in others] == ["", "", ""]

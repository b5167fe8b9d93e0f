"""A server in a process of its own, with the variables and the keys that the chart gives it."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.kubernetes.chart import (
    VALUE_SETS,
    Object,
    container_of,
    environment_of,
    only,
    render,
)
from tests.server.served_process import serve, url_of
from tests.server.wire import body

VALUES: Object = {**VALUE_SETS["own keys"], "settings": {"host": "127.0.0.1"}}


@dataclass
class Container:
    """A server as the chart starts it, but for its port and the place of its keys."""

    process: subprocess.Popen[str]
    url: str


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    secret = only(render(VALUES), "Secret", "qstar-api-keys")
    keys = tmp_path / "keys"
    keys.write_bytes(base64.b64decode(secret["data"]["keys"]))
    others = {name: os.environ[name] for name in os.environ if not name.startswith("QSTAR_")}
    environment = {**others, **environment_of(VALUES), "QSTAR_API_KEY_FILE": str(keys)}
    process = serve("--port", "0", env=environment)
    yield Container(process, url_of(process).removesuffix("/v1"))
    process.kill()
    process.communicate()


def test_it_serves_those_with_a_key_and_ends_when_it_is_told(container: Container) -> None:
    probe = container_of(VALUES)["readinessProbe"]["httpGet"]
    assert httpx.get(container.url + probe["path"]).status_code == 200
    assert httpx.get(f"{container.url}/metrics").status_code == 200
    completions = f"{container.url}/v1/completions"
    assert httpx.post(completions, json=body()).status_code == 401
    key = {"Authorization": "Bearer sk-two"}
    assert httpx.post(completions, json=body(), headers=key).status_code == 200
    container.process.send_signal(signal.SIGTERM)
    _, log = container.process.communicate(timeout=60)
    assert container.process.returncode == 0
    levels = {json.loads(line)["level"].lower() for line in log.splitlines()}
    assert levels == {"info"}, log

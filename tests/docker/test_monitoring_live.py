"""Debian's Prometheus reads a real server, evaluates all alerts and answers all panels."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig

from tests.docker.monitoring_files import ALERTS, PROMETHEUS_CONFIG, alert_rules, panel_queries
from tests.server.live_server import LiveServer, start_server, wait_until
from tests.server.real_engine import create_real_engine
from tests.server.wire import body

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="needs Debian's package prometheus"
    ),
]
KEY = "of-the-client"
SCRAPE_KEY = "of-prometheus"  # a key of its own, because scrapes count as requests of their key
TIMEOUT_S = 120.0
"""Far more than it takes, because other tests may keep the machine busy."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server whose keys may have two requests open each."""
    engine = create_real_engine(tmp_path / "checkpoint")
    config = ServerConfig(
        api_keys=KeyRing.of([KEY, SCRAPE_KEY]),
        max_requests_per_key=2,
        drain_grace_s=0.2,
        shutdown_grace_s=1,
    )
    live = start_server(engine, config)
    yield live
    live.stop()
    engine.close()


@pytest.fixture
def prometheus(server: LiveServer, tmp_path: Path) -> Iterator[httpx.Client]:
    """The HTTP API of a Prometheus with the configuration of docker/, only quicker."""
    log = tmp_path / "prometheus.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={quick_config(tmp_path, server.port)}"]
            + [f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--web.listen-address=127.0.0.1:0"],
            stderr=stderr,
        )
    try:
        wait_until(
            lambda: url_in(log) is not None or process.poll() is not None, timeout_s=TIMEOUT_S
        )
        url = url_in(log)
        assert url is not None, log.read_text(encoding="utf-8")
        with httpx.Client(base_url=f"{url}/api/v1") as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def url_in(log: Path) -> str | None:
    """Where Prometheus serves, once its log has the port that the system chose."""
    found = re.search(
        r'Listening on".* address=(127\.0\.0\.1:\d+)', log.read_text(encoding="utf-8")
    )
    return f"http://{found[1]}" if found else None


def quick_config(directory: Path, port: int) -> Path:
    """The files of docker/, with another target, key file and interval."""
    config = yaml.safe_load(PROMETHEUS_CONFIG.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    scrape["authorization"]["credentials_file"] = "api-key"
    (directory / "api-key").write_text(SCRAPE_KEY, encoding="utf-8")
    shutil.copy(ALERTS, directory)
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def generate(server: LiveServer) -> set[int]:
    """Three long requests at once, of which the key may have two; the statuses."""

    def complete(_: int) -> int:
        fields = body(max_tokens=200, ignore_eos=True)
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"{server.url}/v1/completions"
        return httpx.post(url, json=fields, headers=headers, timeout=TIMEOUT_S).status_code

    with ThreadPoolExecutor(3) as pool:
        return set(pool.map(complete, range(3)))


def data_of(prometheus: httpx.Client, path: str, **params: str) -> Any:
    response = prometheus.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()["data"]


def is_number(series: list[dict[str, Any]]) -> bool:
    return bool(series) and all(each["value"][1] != "NaN" for each in series)


def rules_of(prometheus: httpx.Client) -> list[dict[str, Any]]:
    return [rule for group in data_of(prometheus, "/rules")["groups"] for rule in group["rules"]]


def test_all_panels_have_data_and_all_alerts_work(
    server: LiveServer, prometheus: httpx.Client
) -> None:
    pending = panel_queries(rate_interval="60s")
    statuses: set[int] = set()
    deadline = time.monotonic() + TIMEOUT_S
    while pending:
        assert time.monotonic() < deadline, pending
        statuses |= generate(server)
        pending = [
            each
            for each in pending
            if not is_number(data_of(prometheus, "/query", query=each.expr)["result"])
        ]
    assert {200, 429} <= statuses
    (target,) = data_of(prometheus, "/targets")["activeTargets"]
    assert target["health"] == "up", target
    wait_until(
        lambda: all(rule["health"] != "unknown" for rule in rules_of(prometheus)),
        timeout_s=TIMEOUT_S,
    )
    rules = rules_of(prometheus)
    assert [rule["name"] for rule in rules] == [rule["alert"] for rule in alert_rules()]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []

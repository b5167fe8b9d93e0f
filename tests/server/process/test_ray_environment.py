"""What Ray is told before it is imported."""

import os
import subprocess
import sys

import pytest
from qstar_server.process import ray_environment
from qstar_server.process.ray_environment import prepare_ray

from qstar_infer.errors import ConfigError
from tests.server.served_process import ROOT


@pytest.fixture(autouse=True)
def _ray_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "find_spec", lambda name: name)


def test_a_cluster_of_our_own_asks_for_a_token_that_nobody_knows() -> None:
    first: dict[str, str] = {}
    second: dict[str, str] = {}
    prepare_ray(None, first)
    prepare_ray(None, second)
    assert first["RAY_AUTH_MODE"] == "token"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_cluster_that_runs_keeps_its_own_way() -> None:
    environ: dict[str, str] = {}
    prepare_ray("auto", environ)
    assert "RAY_AUTH_MODE" not in environ
    assert environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_what_the_operator_sets_stays() -> None:
    environ = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "1"}
    prepare_ray(None, environ)
    assert environ["RAY_AUTH_MODE"] == "disabled"
    assert environ["RAY_USAGE_STATS_ENABLED"] == "1"


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_environment, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'qstar\[ray\]'"):
        prepare_ray(None, {})


def test_the_server_without_the_option_does_not_import_ray() -> None:
    code = "import sys, qstar_server.cli, qstar_server.replicas.front; print('ray' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"

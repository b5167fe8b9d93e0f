"""The compose files: accepted by Docker Compose, safe by default, and true to the server."""

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import unknown_variables

from tests.docker.compose_files import (
    DOCKER,
    FILES,
    config,
    needs_compose,
    offered_settings,
    services,
    used_settings,
)

KEY = "5ecret"
both_files = pytest.mark.parametrize("file", FILES)
pytestmark = needs_compose


def published(service: dict[str, Any]) -> set[str]:
    return {f"{each['host_ip']}:{each['published']}" for each in service["ports"]}


@both_files
def test_compose_accepts_the_file_from_any_directory(file: str, tmp_path: Path) -> None:
    in_place = config(DOCKER / file)
    assert in_place.returncode == 0, in_place.stderr
    assert in_place.stderr == ""  # no warning about a variable that is not set
    assert config(DOCKER / file, directory=tmp_path).stdout == in_place.stdout


def test_compose_refuses_what_is_no_setting_of_compose(tmp_path: Path) -> None:
    """Or the test above could not fail."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(text.replace("tmpfs:", "tempfs:"), encoding="utf-8")
    assert "tempfs" in config(tmp_path / "compose.yaml").stderr


def test_only_the_gpu_differs() -> None:
    gpu, cpu = (services(file) for file in FILES)
    assert gpu.keys() == cpu.keys() == {"qstar", "prometheus", "grafana"}
    (device,) = gpu["qstar"].pop("deploy")["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for each, kind in ((gpu, "cuda"), (cpu, "cpu")):
        assert each["qstar"].pop("image") == f"qstar:{kind}"
        assert each["qstar"]["build"].pop("target") == kind
    assert gpu == cpu


@both_files
def test_only_the_server_starts_without_the_profile(file: str) -> None:
    profiles = {name: service.get("profiles") for name, service in services(file).items()}
    assert profiles == {"qstar": None, "prometheus": ["monitoring"], "grafana": ["monitoring"]}


@both_files
def test_without_settings_only_this_machine_gets_in(file: str) -> None:
    by_name = services(file)
    assert published(by_name["qstar"]) == {"127.0.0.1:8000"}
    assert published(by_name["prometheus"]) == {"127.0.0.1:9090"}
    assert published(by_name["grafana"]) == {"127.0.0.1:3000"}


@both_files
def test_an_open_address_needs_a_key(file: str) -> None:
    refused = config(DOCKER / file, QSTAR_HOST="0.0.0.0")
    assert refused.returncode != 0
    assert "QSTAR_API_KEY=... into .env" in refused.stderr
    given = services(file, QSTAR_HOST="0.0.0.0", QSTAR_PORT="80", QSTAR_API_KEY=KEY)
    assert published(given["qstar"]) == {"0.0.0.0:80"}
    assert published(given["grafana"]) == {"127.0.0.1:3000"}


def server_config(monkeypatch: pytest.MonkeyPatch, **environment: str) -> ServerConfig:
    """The settings that the server would have in its container."""
    for name, value in services("compose.yaml", **environment)["qstar"]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return ServerConfig()


def test_without_a_key_the_server_checks_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web page must not use the server by a name of its own; Prometheus may, by the service's."""
    config = server_config(monkeypatch)
    assert config.insecure
    assert not config.keys
    assert set(config.checked_hosts) == {"localhost", "127.0.0.1", "[::1]", "qstar"}


def test_with_a_key_the_server_has_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    config = server_config(monkeypatch, QSTAR_API_KEY=KEY)
    assert config.keys.name_of(KEY.encode()) is not None
    assert config.checked_hosts == ()
    assert (config.host, config.port) == ("0.0.0.0", 8000)


def test_settings_of_a_file_reach_the_server(tmp_path: Path) -> None:
    """`.env` is read beside the compose file, also by a command in another directory."""
    for name in ("compose.yaml", ".env.example"):
        shutil.copy(DOCKER / name, tmp_path / name)
    text = (tmp_path / ".env.example").read_text(encoding="utf-8")
    for name, value in (("QSTAR_API_KEY", KEY), ("QSTAR_MODEL", "lab"), ("QSTAR_PORT", "1234")):
        text = re.sub(rf"^#{name}=.*", f"{name}={value}", text, flags=re.M)
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    (tmp_path / "settings.env").write_text("QSTAR_MAX_NUM_SEQS=8\n", encoding="utf-8")
    rendered = json.loads(config(tmp_path / "compose.yaml", directory=Path("/")).stdout)
    server = rendered["services"]["qstar"]
    assert server["environment"]["QSTAR_API_KEY"] == KEY
    assert server["environment"]["QSTAR_MODEL"] == "lab"
    assert server["environment"]["QSTAR_MAX_NUM_SEQS"] == "8"
    assert published(server) == {"127.0.0.1:1234"}
    assert rendered["services"]["prometheus"]["environment"]["QSTAR_API_KEY"] == KEY


def test_the_example_can_choose_file_and_profile(tmp_path: Path) -> None:
    shutil.copytree(DOCKER, tmp_path / "docker")
    text = (DOCKER / ".env.example").read_text(encoding="utf-8")
    chosen = re.sub(r"^#(COMPOSE_\w+)", r"\1", text, flags=re.M)
    (tmp_path / "docker" / ".env").write_text(chosen, encoding="utf-8")
    rendered = config(None, directory=tmp_path / "docker", profile=None)
    by_name = json.loads(rendered.stdout)["services"]
    assert by_name.keys() == {"qstar", "prometheus", "grafana"}
    assert by_name["qstar"]["image"] == "qstar:cpu"


def test_the_example_lists_all_variables() -> None:
    assert len(offered_settings()) == len(set(offered_settings()))
    of_compose = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
    assert set(offered_settings()) == used_settings() | of_compose


def test_variables_of_the_server_are_settings_of_it() -> None:
    inside = services("compose.yaml", QSTAR_API_KEY=KEY)["qstar"]["environment"]
    assert {"QSTAR_MODEL", "QSTAR_QUANTIZATION", "QSTAR_INSECURE"} <= inside.keys()
    assert unknown_variables({**inside, **dict.fromkeys(offered_settings(), "")}) == []
    assert unknown_variables({"QSTAR_MODLE": ""})


@both_files
def test_no_service_may_do_more_than_it_needs(file: str) -> None:
    for name, service in services(file).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["driver"] == "local", name
        assert "privileged" not in service
        binds = [each for each in service["volumes"] if each["type"] == "bind"]
        assert all(each["read_only"] for each in binds), name
        assert not any("docker.sock" in each["source"] for each in binds), name


def test_images_of_others_are_pinned() -> None:
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", services("compose.yaml")[name]["image"])


def test_mounted_files_exist() -> None:
    for service in services("compose.yaml").values():
        for each in service["volumes"]:
            assert each["type"] == "volume" or Path(each["source"]).is_dir(), each


@both_files
def test_docker_waits_until_the_server_has_drained(file: str) -> None:
    """Docker kills a container after this time; open requests would be cut off."""
    minutes, seconds = re.fullmatch(  # type: ignore[union-attr]
        r"(?:(\d+)m)?(\d+)s", services(file)["qstar"]["stop_grace_period"]
    ).groups()
    grace = timedelta(minutes=int(minutes or 0), seconds=int(seconds)).total_seconds()
    server = ServerConfig()
    assert grace >= server.drain_grace_s + server.shutdown_grace_s + 5


@both_files
def test_prometheus_gets_the_key_from_memory(file: str) -> None:
    """It reads no variables, and a container with a read-only root takes no secret of one."""
    service = services(file, QSTAR_API_KEY=KEY)["prometheus"]
    assert service["environment"] == {"QSTAR_API_KEY": KEY}
    shell = service["entrypoint"][2].replace("$$", "$")
    scrape = yaml.safe_load((DOCKER / "monitoring/prometheus/prometheus.yml").read_text())
    (job,) = scrape["scrape_configs"]
    assert f'printf %s "$QSTAR_API_KEY" > {job["authorization"]["credentials_file"]}' in shell

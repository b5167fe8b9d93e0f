"""The compose files: accepted by Docker Compose, safe by default, and true to the server."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import unknown_variables

from tests.docker.compose_files import (
    FILES,
    config,
    copied,
    needs_compose,
    offered_settings,
    services,
    used_settings,
)

KEY = "5ecret"
pytestmark = needs_compose


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """The folder docker/, as in a new checkout."""
    return copied(tmp_path / "docker")


@pytest.fixture
def gpu_file(docker: Path) -> Path:
    return docker / "compose.yaml"


@pytest.fixture(params=FILES)
def file(docker: Path, request: pytest.FixtureRequest) -> Path:
    """The file for GPUs, then the one for CPUs."""
    name: str = request.param
    return docker / name


def published(service: dict[str, Any]) -> set[str]:
    return {f"{each['host_ip']}:{each['published']}" for each in service["ports"]}


def write_settings(docker: Path, **values: str) -> None:
    """Copy .env.example to .env with these settings, as a user would."""
    text = (docker / ".env.example").read_text(encoding="utf-8")
    for name, value in values.items():
        text, num_found = re.subn(f"^#{name}=.*", f"{name}={value}", text, flags=re.M)
        assert num_found == 1, name
    (docker / ".env").write_text(text, encoding="utf-8")


def test_compose_accepts_the_file_from_any_directory(file: Path) -> None:
    in_place = config(file, directory=file.parent)
    assert in_place.returncode == 0, in_place.stderr
    assert in_place.stderr == ""  # no warning about a variable that is not set
    assert config(file, directory=Path("/")).stdout == in_place.stdout


def test_compose_refuses_what_is_no_setting_of_compose(gpu_file: Path) -> None:
    """Or the test above could not fail."""
    text = gpu_file.read_text(encoding="utf-8")
    gpu_file.write_text(text.replace("tmpfs:", "tempfs:"), encoding="utf-8")
    assert "tempfs" in config(gpu_file, directory=gpu_file.parent).stderr


def test_only_the_gpu_differs(docker: Path) -> None:
    gpu, cpu = (services(docker / file) for file in FILES)
    assert gpu.keys() == cpu.keys() == {"qstar", "prometheus", "grafana"}
    (device,) = gpu["qstar"].pop("deploy")["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for each, kind in ((gpu, "cuda"), (cpu, "cpu")):
        assert each["qstar"].pop("image") == f"qstar:{kind}"
        assert each["qstar"]["build"].pop("target") == kind
    assert gpu == cpu


def test_only_the_server_starts_without_the_profile(file: Path) -> None:
    profiles = {name: service.get("profiles") for name, service in services(file).items()}
    assert profiles == {"qstar": None, "prometheus": ["monitoring"], "grafana": ["monitoring"]}


def test_without_settings_only_this_machine_gets_in(file: Path) -> None:
    by_name = services(file)
    assert published(by_name["qstar"]) == {"127.0.0.1:8000"}
    assert published(by_name["prometheus"]) == {"127.0.0.1:9090"}
    assert published(by_name["grafana"]) == {"127.0.0.1:3000"}


def test_an_open_address_needs_a_key(file: Path) -> None:
    refused = config(file, directory=file.parent, QSTAR_HOST="0.0.0.0")
    assert refused.returncode != 0
    assert "QSTAR_API_KEY=... into .env" in refused.stderr
    given = services(file, QSTAR_HOST="0.0.0.0", QSTAR_PORT="80", QSTAR_API_KEY=KEY)
    assert published(given["qstar"]) == {"0.0.0.0:80"}
    assert published(given["prometheus"]) == {"127.0.0.1:9090"}
    assert published(given["grafana"]) == {"127.0.0.1:3000"}


def server_config(file: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> ServerConfig:
    """The settings that the server would have in its container."""
    for name, value in services(file, **environment)["qstar"]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return ServerConfig()


def test_without_a_key_the_server_checks_the_host(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web page must not use the server by a name of its own; Prometheus may, by the service's."""
    config = server_config(file, monkeypatch)
    assert config.insecure
    assert not config.keys
    assert set(config.checked_hosts) == {"localhost", "127.0.0.1", "[::1]", "qstar"}


def test_with_a_key_the_server_has_any_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = server_config(file, monkeypatch, QSTAR_API_KEY=KEY)
    assert config.keys.name_of(KEY.encode()) is not None
    assert config.checked_hosts == ()
    assert (config.host, config.port) == ("0.0.0.0", 8000)


def test_settings_of_a_file_reach_the_server(file: Path) -> None:
    """`.env` is read beside the compose file, also by a command in another directory."""
    docker = file.parent
    models = docker.parent / "checkpoints"
    models.mkdir()
    write_settings(
        docker,
        **{"QSTAR_API_KEY": KEY, "QSTAR_MODEL": "/local/mine", "QSTAR_PORT": "1234"},
        **{"QSTAR_QUANTIZATION": "int8", "MODELS_DIRECTORY": str(models)},
    )
    (docker / "settings.env").write_text("QSTAR_MAX_NUM_SEQS=8\n", encoding="utf-8")
    by_name = json.loads(config(file, directory=Path("/")).stdout)["services"]
    server = by_name["qstar"]
    expected = {
        **{"QSTAR_API_KEY": KEY, "QSTAR_MODEL": "/local/mine", "QSTAR_MAX_NUM_SEQS": "8"},
        "QSTAR_QUANTIZATION": "int8",
    }
    assert expected.items() <= server["environment"].items()
    assert published(server) == {"127.0.0.1:1234"}
    (mount,) = [each for each in server["volumes"] if each["target"] == "/local"]
    assert (mount["source"], mount["read_only"]) == (str(models), True)
    assert by_name["prometheus"]["environment"]["QSTAR_API_KEY"] == KEY


def test_settings_can_choose_file_and_profile(docker: Path) -> None:
    write_settings(docker, COMPOSE_FILE="compose.cpu.yaml", COMPOSE_PROFILES="monitoring")
    rendered = config(None, directory=docker, profile=None)
    by_name = json.loads(rendered.stdout)["services"]
    assert by_name.keys() == {"qstar", "prometheus", "grafana"}
    assert by_name["qstar"]["image"] == "qstar:cpu"


def test_the_example_lists_all_variables() -> None:
    of_compose = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
    assert len(offered_settings()) == len(set(offered_settings()))
    assert set(offered_settings()) == used_settings() | of_compose


def test_variables_of_the_server_are_settings_of_it(gpu_file: Path) -> None:
    inside = services(gpu_file)["qstar"]["environment"]
    assert {"QSTAR_API_KEY", "QSTAR_MODEL", "QSTAR_INSECURE"} <= inside.keys()
    assert unknown_variables({**inside, **dict.fromkeys(offered_settings(), "")}) == []
    assert unknown_variables({"QSTAR_MODLE": ""})


def test_no_service_may_do_more_than_it_needs(file: Path) -> None:
    for name, service in services(file).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["driver"] == "local", name
        assert "privileged" not in service, name
        binds = [each for each in service["volumes"] if each["type"] == "bind"]
        assert all(each["read_only"] for each in binds), name
        assert not any("docker.sock" in each["source"] for each in binds), name


def test_images_of_others_are_pinned(gpu_file: Path) -> None:
    by_name = services(gpu_file)
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", by_name[name]["image"])


def test_no_registry_is_asked_for_the_image_that_is_built(file: Path) -> None:
    assert services(file)["qstar"]["pull_policy"] == "never"


def test_what_is_mounted_exists(gpu_file: Path) -> None:
    mounts = [each for service in services(gpu_file).values() for each in service["volumes"]]
    binds = [each for each in mounts if each["type"] == "bind"]
    assert len(binds) == 4
    assert all(Path(each["source"]).is_dir() for each in binds)


def test_docker_waits_until_the_server_has_drained(file: Path) -> None:
    """Docker kills a container after this time; open requests would be cut off."""
    grace = re.fullmatch(r"(\d+)s", services(file)["qstar"]["stop_grace_period"])
    server = ServerConfig()
    assert grace is not None
    assert int(grace[1]) >= server.drain_grace_s + server.shutdown_grace_s + 5


def test_prometheus_gets_the_key_from_memory(file: Path) -> None:
    """It reads no variables, and a container with a read-only root takes no secret of one."""
    service = services(file, QSTAR_API_KEY=KEY)["prometheus"]
    assert service["environment"] == {"QSTAR_API_KEY": KEY}
    shell = service["entrypoint"][2].replace("$$", "$")
    scrape = yaml.safe_load((file.parent / "monitoring/prometheus/prometheus.yml").read_text())
    (job,) = scrape["scrape_configs"]
    assert f'printf %s "$QSTAR_API_KEY" > {job["authorization"]["credentials_file"]}' in shell

"""The pod of the server: settings, probes, stop, rights."""

import math
import os
import re

import pytest
from qstar_server.app import create_app
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig
from qstar_server.settings.settings import resolve, unknown_variables

from qstar_infer.engine_args import EngineArgs
from tests.kubernetes.chart import (
    KUBERNETES,
    ROUTED,
    VALUE_SETS,
    Object,
    container_of,
    environment_of,
    only,
    pod_of,
    render,
)
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import client_of

SETTINGS: Object = {
    "model": "owner/model",
    "dtype": None,
    "max_queued_tokens": 2_097_152,
    "max_num_seqs": 128,
    "prefix_caching": False,
    "watchdog_timeout_s": 0.5,
    "allow_origins": ["https://one.example", "https://two.example"],
    "reasoning_efforts": {"low": 0.25},
    "access_log": False,
}
"""One of each kind. Helm reads numbers as floats, and would write the second as 2.097152e+06."""


def settings_in(monkeypatch: pytest.MonkeyPatch, values: Object) -> tuple[EngineArgs, ServerConfig]:
    """What the server makes of the variables of its container, but for the file of keys."""
    for name in os.environ:
        if name.startswith("QSTAR_"):
            monkeypatch.delenv(name)
    for name, value in environment_of(values).items():
        if name != "QSTAR_API_KEY_FILE":
            monkeypatch.setenv(name, value)
    return resolve({}, os.environ)


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_every_variable_is_a_setting(values: Object) -> None:
    assert unknown_variables(environment_of(values)) == []
    assert unknown_variables({"QSTAR_NONSENSE": "1"}) == ["QSTAR_NONSENSE"]


def test_settings_arrive_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    args, config = settings_in(monkeypatch, {"settings": SETTINGS})
    of_engine = args.settings()
    assert of_engine["model"] == "owner/model"
    assert of_engine["dtype"] == EngineArgs().settings()["dtype"]
    assert of_engine["max_queued_tokens"] == 2_097_152
    assert of_engine["max_num_seqs"] == 128
    assert of_engine["prefix_caching"] is False
    assert config.watchdog_timeout_s == 0.5
    assert config.allow_origins == ("https://one.example", "https://two.example")
    assert config.reasoning_efforts["low"] == 0.25
    assert config.access_log is False
    assert (config.host, config.port) == ("0.0.0.0", 8000)
    assert config.open_metrics


def test_keys_are_in_a_file_and_nowhere_else() -> None:
    values = VALUE_SETS["own keys"]
    assert "sk-one" not in str(only(render(values), "Deployment"))
    assert environment_of(values)["QSTAR_API_KEY_FILE"] == "/etc/qstar/keys"
    mounts = {each["name"]: each for each in container_of(values)["volumeMounts"]}
    assert mounts["keys"] == {"name": "keys", "mountPath": "/etc/qstar", "readOnly": True}


def test_a_service_called_qstar_sets_no_variables() -> None:
    """Kubernetes gives each pod QSTAR_PORT=tcp://... for a Service with the name qstar."""
    assert pod_of()["enableServiceLinks"] is False


def test_the_pod_fits_the_image() -> None:
    file = KUBERNETES.parent / "docker" / "Dockerfile"
    if not file.exists():
        pytest.skip("there is no docker/Dockerfile")
    text = file.read_text(encoding="utf-8")
    pod, container = pod_of(), container_of()
    user = pod["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}\n" in text
    assert f"EXPOSE {container['ports'][0]['containerPort']}\n" in text
    (written,) = re.findall(r'^VOLUME \["(.+)"\]$', text, re.M)
    assert written in {each["mountPath"] for each in container["volumeMounts"]}
    targets = re.findall(r"^FROM \S+ AS (cpu|cuda)$", text, re.M)
    used = {container_of(VALUE_SETS[name])["image"] for name in ("default", "cpu")}
    assert used == {f"qstar:{target}" for target in targets}


@pytest.mark.parametrize("component", ["qstar", "qstar-endpoint-picker"])
def test_containers_have_few_rights(component: str) -> None:
    pod = only(render(ROUTED), "Deployment", component)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        written = [each for each in container["volumeMounts"] if not each.get("readOnly")]
        kinds = {each["name"]: set(each) - {"name"} for each in pod["volumes"]}
        assert all(kinds[each["name"]] == {"emptyDir"} for each in written)


def test_the_server_has_no_token_of_the_cluster() -> None:
    assert pod_of()["automountServiceAccountToken"] is False


def test_a_gpu_is_asked_for_and_a_cpu_needs_none() -> None:
    assert container_of()["resources"]["limits"]["nvidia.com/gpu"] == 1
    on_cpu = container_of(VALUE_SETS["cpu"])
    assert "nvidia.com/gpu" not in on_cpu["resources"]["limits"]
    assert on_cpu["image"] == "qstar:cpu"


@pytest.mark.parametrize("settings", [{}, {"drain_grace_s": 90.5, "shutdown_grace_s": 7}])
@pytest.mark.parametrize("pre_stop", [0, 5])
def test_a_pod_is_not_killed_before_the_server_has_ended(
    monkeypatch: pytest.MonkeyPatch, settings: Object, pre_stop: int
) -> None:
    values = {"settings": settings, "preStopSeconds": pre_stop}
    pod = pod_of(values)
    _, config = settings_in(monkeypatch, values)
    hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    waits = hook.get("seconds", 0) + config.drain_grace_s + 2 * config.shutdown_grace_s
    assert hook.get("seconds", 0) == pre_stop
    assert waits + 5 <= pod["terminationGracePeriodSeconds"] <= math.ceil(waits) + 15


def test_the_chart_drains_as_long_as_the_server_does_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, config = settings_in(monkeypatch, {})
    assert config.drain_grace_s == ServerConfig().drain_grace_s
    assert config.shutdown_grace_s == ServerConfig().shutdown_grace_s


def test_a_model_has_time_to_load() -> None:
    values = {"loadTimeoutSeconds": 1201}
    probe = container_of(values)["startupProbe"]
    assert 1201 <= probe["periodSeconds"] * probe["failureThreshold"] <= 1206
    deployment = only(render(values), "Deployment")
    assert deployment["spec"]["progressDeadlineSeconds"] > 1201


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe"])
async def test_probes_ask_for_a_path_that_needs_no_key_and_no_host(
    engine: FakeEngine, name: str
) -> None:
    """The kubelet sends the address of the pod as Host, which `allowed_hosts` would refuse."""
    config = ServerConfig(api_key=KeyRing.of(["k"]), allowed_hosts=("models.example",))
    probe = container_of()[name]["httpGet"]
    headers = {each["name"]: each["value"] for each in probe["httpHeaders"]}
    app = create_app(lambda: engine, config)
    async with client_of(app) as client:
        response = await client.get(probe["path"], headers=headers)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "model_loading"
        refused = await client.get(probe["path"], headers={"Host": "10.0.0.7:8000"})
        assert refused.status_code == 403

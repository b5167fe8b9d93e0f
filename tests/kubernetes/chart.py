"""Renders the Helm chart as Helm does, for the tests of this folder."""

from pathlib import Path
from typing import Any

import pytest
import yaml

helm = pytest.importorskip("helm_python.chart", reason="needs the extra deployment-test")

KUBERNETES = Path(__file__).parents[2] / "kubernetes"
CHART = KUBERNETES / "chart"
NAMESPACE = "models"

Object = dict[str, Any]

ROUTED: Object = {"inferenceExtension": {"enabled": True, "image": "registry/picker:v0.10.0"}}
VALUE_SETS: dict[str, Object] = {
    "default": {},
    "cpu": yaml.safe_load((CHART / "values-cpu.yaml").read_text(encoding="utf-8")),
    "own keys": {"apiKeys": {"create": ["sk-one", "sk-two"]}},
    "hub model": {
        "settings": {"model": "owner/model", "quantization": "nf4", "max_num_seqs": 128},
        "extraEnv": [
            {
                "name": "HF_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}},
            }
        ],
        "models": {"download": True, "claim": {"create": True, "storageClass": "shared"}},
    },
    "existing claim": {"models": {"claim": {"existing": "weights"}}},
    "autoscaled": {"autoscaling": {"enabled": True, "minReplicas": 2}},
    "monitored": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "routed": ROUTED,
    "routed elsewhere": {
        "inferenceExtension": {
            **ROUTED["inferenceExtension"],
            "gateway": {"name": "public", "namespace": "gateways"},
        }
    },
    "placed": {
        "image": {"pullSecrets": [{"name": "registry"}]},
        "runtimeClassName": "nvidia",
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "strategy": {"type": "Recreate", "rollingUpdate": None},
        "preStopSeconds": 0,
    },
    "networks": {
        "networkPolicy": {
            "clientNamespaces": ["gateways", "monitoring"],
            "extraEgress": [{"ports": [{"port": 4318}]}],
        }
    },
    "no network policy": {"networkPolicy": {"enabled": False}},
}
"""Values, by what they are for. Each differs from the defaults in one thing."""

_CHART: Any = helm.Chart.load(CHART)


def render(values: Object | None = None, *, name: str = "qstar") -> list[Object]:
    """The objects of a release."""
    texts = _CHART.render(values, name=name, namespace=NAMESPACE)
    return [
        each
        for path, text in texts.items()
        if path.endswith(".yaml")
        for each in yaml.safe_load_all(text)
        if each is not None
    ]


def only(objects: list[Object], kind: str, name: str = "qstar") -> Object:
    """The object of this kind and name."""
    found = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def kinds(objects: list[Object]) -> list[str]:
    return sorted(each["kind"] for each in objects)


def pod_of(values: Object | None = None) -> Object:
    """The specification of the server's pods."""
    spec: Object = only(render(values), "Deployment")["spec"]["template"]["spec"]
    return spec


def container_of(values: Object | None = None) -> Object:
    containers: list[Object] = pod_of(values)["containers"]
    assert len(containers) == 1
    return containers[0]


def environment_of(values: Object | None = None) -> dict[str, str]:
    """The variables of the container that have a value in the pod itself."""
    return {each["name"]: each["value"] for each in container_of(values)["env"] if "value" in each}

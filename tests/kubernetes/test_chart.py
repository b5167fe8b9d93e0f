"""The chart renders, without a warning, objects that Kubernetes accepts and that fit together."""

import base64
import copy
import json
import tomllib
from typing import Any

import jsonschema
import pytest
import yaml
from qstar_server.http.keys import read_key_file

from scripts.list_settings import CHART_SCHEMA, with_chart_settings
from tests.kubernetes.chart import (
    CHART,
    NAMESPACE,
    ROUTED,
    VALUE_SETS,
    Object,
    helm,
    kinds,
    only,
    pod_of,
    render,
)
from tests.kubernetes.custom_objects import is_custom, validate_custom

schemas = pytest.importorskip("kubernetes_validate", reason="needs the extra deployment-test")
VERSIONS = ("1.30", "1.34", "1.37")
"""Of Kubernetes: the oldest that the chart allows, and newer ones."""
WARNING = 2
"""Of the severities of `helm lint`."""
ALWAYS = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"]
PICKER = ["ConfigMap", "Deployment", "InferencePool", "Role", "RoleBinding", "Service"]

value_sets = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


@value_sets
def test_lint_has_no_warning(values: Object) -> None:
    report = helm.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []


def validate(thing: Object) -> None:
    """
    Raises:
        jsonschema.ValidationError: some version of Kubernetes would refuse the object.
    """
    if is_custom(thing):
        validate_custom(thing)
        return
    for version in VERSIONS:
        schemas.validate(thing, version, strict=True)


@value_sets
def test_kubernetes_accepts_every_object(values: Object) -> None:
    for each in render(values):
        validate(each)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.replicas", "two"),
        ("Deployment", "spec.template.spec.terminationGracePeriod", 60),
        ("NetworkPolicy", "spec.policyTypes", "Ingress"),
        ("PodDisruptionBudget", "spec.maxUnavailabe", 1),
        ("InferencePool", "spec.targetPorts", [{"number": 80000}]),
        ("InferencePool", "spec.extensionRef", {"name": "picker"}),
        ("HTTPRoute", "spec.rules", []),
        ("ServiceMonitor", "spec.endpoints", [{"prot": "http"}]),
    ],
)
def test_a_broken_object_is_refused(kind: str, path: str, value: Any) -> None:
    """So that the test above can fail."""
    values = {**ROUTED, "serviceMonitor": {"enabled": True}}
    broken = copy.deepcopy(only(render(values), kind))
    *parents, last = path.split(".")
    place = broken
    for name in parents:
        place = place[name]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(broken)


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({}, []),
        (VALUE_SETS["own keys"], ["Secret"]),
        (VALUE_SETS["hub model"], ["PersistentVolumeClaim"]),
        (VALUE_SETS["existing claim"], []),
        (VALUE_SETS["autoscaled"], ["HorizontalPodAutoscaler"]),
        (VALUE_SETS["monitored"], ["ServiceMonitor"]),
        (ROUTED, [*PICKER, "HTTPRoute", "ServiceAccount"]),
    ],
)
def test_a_value_adds_its_objects_and_no_others(values: Object, more: list[str]) -> None:
    assert kinds(render(values)) == sorted([*ALWAYS, *more])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": "two"}, "/replicas"),
        ({"replica": 2}, "'replica' not allowed"),
        ({"settings": {"max_seqs": 8}}, "max_seqs"),
        ({"settings": {"api_key": "sk-secret"}}, "api_key"),
        ({"settings": {"drain_grace_s": "long"}}, "/settings/drain_grace_s"),
        ({"apiKeys": {"create": ["# a comment"]}}, "/apiKeys/create/0"),
        ({"models": {"size": "20 GB"}}, "/models/size"),
        ({"inferenceExtension": {"enabled": True}}, "/inferenceExtension/image"),
        ({**ROUTED, "settings": {"open_metrics": False}}, "set settings.open_metrics to true"),
        ({"models": {"claim": {"create": True, "existing": "x"}}}, "create or existing, not both"),
        (
            {"autoscaling": {"enabled": True, "minReplicas": 9}},
            "minReplicas is greater than maxReplicas",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: Object, message: str) -> None:
    with pytest.raises(helm_error(), match=message):
        render(values)


def helm_error() -> type[Exception]:
    error: type[Exception] = pytest.importorskip("helm_python").HelmError
    return error


def test_the_chart_has_the_version_of_the_project() -> None:
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    version = project["tool"]["setuptools_scm"]["fallback_version"]
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["version"] == about["appVersion"] == version


def test_the_schema_names_the_settings_of_today() -> None:
    """Else run `python -m scripts.list_settings --write`."""
    schema = CHART_SCHEMA.read_text(encoding="utf-8")
    assert with_chart_settings(schema) == schema


def test_the_schema_knows_every_value_of_the_file() -> None:
    """A value without a schema could not be set wrongly, and one without a default is hidden."""

    def compare(schema: dict[str, Any], values: dict[str, Any], place: str) -> None:
        names = set(schema["properties"]) - {"global"}
        assert names == set(values), place
        for name in names:
            below = schema["properties"][name]
            if below.get("additionalProperties") is False and name != "resources":
                compare(below, values[name], f"{place}.{name}")

    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    compare(json.loads(CHART_SCHEMA.read_text(encoding="utf-8")), values, "values")


@value_sets
def test_selectors_find_the_pods_of_the_server_and_no_others(values: Object) -> None:
    objects = render(values)
    labels = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        only(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(objects, "Service")["spec"]["selector"],
        *(
            each["spec"]["podSelector"]["matchLabels"]
            for each in objects
            if each["kind"] == "NetworkPolicy"
        ),
        *(
            each["spec"]["selector"]["matchLabels"]
            for each in objects
            if each["kind"] in ("InferencePool", "ServiceMonitor")
        ),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    others = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in [*objects, *render(values, name="another")]
        if each["kind"] == "Deployment" and each["metadata"]["name"] != "qstar"
    ]
    assert others
    assert not any(selector.items() <= other.items() for selector in selectors for other in others)


def test_every_name_that_a_pod_mounts_is_there() -> None:
    values = {**VALUE_SETS["own keys"], "models": {"claim": {"create": True}}}
    objects = render(values)
    volumes = {each["name"]: each for each in pod_of(values)["volumes"]}
    only(objects, "Secret", volumes["keys"]["secret"]["secretName"])
    only(objects, "PersistentVolumeClaim", volumes["models"]["persistentVolumeClaim"]["claimName"])
    existing = pod_of(VALUE_SETS["existing claim"])["volumes"][0]
    assert existing["persistentVolumeClaim"] == {"claimName": "weights"}


def test_the_server_reads_the_keys_of_the_secret(tmp_path: Any) -> None:
    secret = only(render(VALUE_SETS["own keys"]), "Secret", "qstar-api-keys")
    file = tmp_path / "keys"
    file.write_bytes(base64.b64decode(secret["data"]["keys"]))
    keys = read_key_file(file)
    assert len(keys) == 2
    assert keys.name_of(b"sk-one")
    assert keys.name_of(b"sk-two")


def test_new_keys_start_the_pods_again() -> None:
    def checksum(keys: list[str]) -> str:
        deployment = only(render({"apiKeys": {"create": keys}}), "Deployment")
        annotation: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/keys"]
        return annotation

    assert checksum(["a"]) == checksum(["a"]) != checksum(["b"])


def test_the_network_lets_in_only_who_is_named() -> None:
    policy = only(render(VALUE_SETS["networks"]), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": 8000}]
    own, *others = rule["from"]
    assert own == {"podSelector": {}}
    names = [each["namespaceSelector"]["matchLabels"] for each in others]
    assert names == [
        {"kubernetes.io/metadata.name": "gateways"},
        {"kubernetes.io/metadata.name": "monitoring"},
    ]


@pytest.mark.parametrize(
    ("values", "ports"),
    [({}, {53, 5353}), ({"models": {"download": True}}, {53, 5353, 443})],
)
def test_the_server_reaches_names_and_a_hub_only_if_it_may(values: Object, ports: set[int]) -> None:
    rules = only(render(values), "NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports


def test_objects_of_two_releases_do_not_collide() -> None:
    def names(release: str) -> set[tuple[str, str]]:
        objects = render({**ROUTED, **VALUE_SETS["autoscaled"]}, name=release)
        return {(each["kind"], each["metadata"]["name"]) for each in objects}

    assert not names("one") & names("two")


def test_the_longest_name_of_a_release_fits() -> None:
    """Helm allows 53 characters, and the name of a Service may have 63."""
    objects = render({**ROUTED, **VALUE_SETS["hub model"]}, name="r" * 53)
    assert max(len(each["metadata"]["name"]) for each in objects) == 63


def test_the_right_to_read_is_all_that_the_picker_has() -> None:
    objects = render(ROUTED)
    name = "qstar-endpoint-picker"
    assert {verb for rule in only(objects, "Role", name)["rules"] for verb in rule["verbs"]} == {
        *("get", "list", "watch")
    }
    binding = only(objects, "RoleBinding", name)
    assert binding["roleRef"]["name"] == name
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]

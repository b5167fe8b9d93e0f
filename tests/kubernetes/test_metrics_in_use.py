"""Autoscaler and router read metrics that the server really has."""

import re
from typing import Any

import pytest
import yaml
from qstar_server.http.keys import KeyRing
from qstar_server.settings.config import ServerConfig

from tests.kubernetes.chart import (
    KUBERNETES,
    NAMESPACE,
    ROUTED,
    VALUE_SETS,
    Object,
    environment_of,
    only,
    render,
)
from tests.server.fake_engine import FakeEngine
from tests.server.in_process import serving
from tests.server.scrape import Scrape, scrape

promql = pytest.importorskip("promql_parser", reason="needs the extra deployment-test")
PICKER = "qstar-endpoint-picker"
PLUGIN_TYPES = {
    *("metrics-data-source", "core-metrics-extractor", "approx-prefix-cache-producer"),
    *("prefix-cache-scorer", "queue-scorer", "kv-cache-utilization-scorer"),
}
"""Names in llm-d Router 0.10."""


@pytest.fixture
async def scraped(engine: FakeEngine) -> Scrape:
    """`/metrics` as someone without a key sees it, with the chart's setting."""
    opened = environment_of()["QSTAR_OPEN_METRICS"] == "true"
    config = ServerConfig(api_key=KeyRing.of(["k"]), open_metrics=opened)
    async with serving(engine, config) as client:
        return await scrape(client)


@pytest.fixture
def picker_config() -> Object:
    text = only(render(ROUTED), "ConfigMap", PICKER)["data"]["config.yaml"]
    config: Object = yaml.safe_load(text)
    return config


def adapter_rule() -> Object:
    path = KUBERNETES / "prometheus-adapter-values.yaml"
    (rule,) = yaml.safe_load(path.read_text(encoding="utf-8"))["rules"]["custom"]
    assert isinstance(rule, dict)
    return rule


def test_the_autoscaler_knows_queue_and_batch() -> None:
    spec = only(render(VALUE_SETS["autoscaled"]), "HorizontalPodAutoscaler")["spec"]
    targets = {
        each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"]
        for each in spec["metrics"]
    }
    assert targets == {"qstar_num_requests_waiting": "4", "qstar_num_requests_running": "48"}
    assert spec["scaleTargetRef"]["name"] == "qstar"
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
    # A number here would undo the autoscaler at each upgrade.
    assert "replicas" not in only(render(VALUE_SETS["autoscaled"]), "Deployment")["spec"]
    assert only(render(), "Deployment")["spec"]["replicas"] == 1


def test_the_adapter_names_the_metrics_that_the_autoscaler_reads(scraped: Scrape) -> None:
    rule = adapter_rule()
    series = promql.parse(rule["seriesQuery"])
    assert {each.name for each in series.matchers.matchers} == {"__name__", "namespace", "pod"}
    wanted = next(each.value for each in series.matchers.matchers if each.name == "__name__")
    found = [name for name in scraped.families if re.fullmatch(wanted, name)]
    assert all(scraped.families[name].type == "gauge" for name in found)
    named = {
        re.sub(rule["name"]["matches"], rule["name"]["as"].replace("$1", r"\1"), name)
        for name in found
    }
    spec = only(render(VALUE_SETS["autoscaled"]), "HorizontalPodAutoscaler")["spec"]
    assert named == {each["pods"]["metric"]["name"] for each in spec["metrics"]}
    assert all(re.fullmatch("[a-z_]+", name) for name in named)


def test_the_query_of_the_adapter_is_promql() -> None:
    query = (
        adapter_rule()["metricsQuery"]
        .replace("<<.Series>>", "qstar:num_requests_waiting")
        .replace("<<.LabelMatchers>>", 'namespace="models",pod=~"a|b"')
        .replace("<<.GroupBy>>", "pod")
    )
    promql.parse(query)
    assert "<<" not in query


def test_the_picker_reads_gauges_of_the_server(picker_config: Object, scraped: Scrape) -> None:
    engine = engine_of(picker_config)
    specs = {name: value for name, value in engine.items() if name.endswith("Spec")}
    assert set(specs) == {
        *("queuedRequestsSpec", "runningRequestsSpec", "kvUsageSpec", "cacheInfoSpec")
    }
    for name in specs.values():
        family = scraped.families[name]
        assert family.type == "gauge"
        assert len(family.samples) == 1, "the picker takes any one of several samples"
    labels = scraped.families[engine["cacheInfoSpec"]].samples[0].labels
    # The labels that the picker looks for, and reads as whole numbers.
    assert all(labels[name].isdigit() for name in ("block_size", "num_gpu_blocks"))


def engine_of(config: Object) -> Object:
    """How the picker reads the metrics of the server."""
    extractor = plugins_of(config)["core-metrics-extractor"]["parameters"]
    (engine,) = extractor["engineConfigs"]
    assert extractor["defaultEngine"] == engine["name"]
    assert isinstance(engine, dict)
    return engine


def plugins_of(config: Object) -> dict[str, Any]:
    return {each["type"]: each for each in config["plugins"]}


def test_the_picker_knows_the_engine_by_a_label_of_the_pods(picker_config: Object) -> None:
    labels = only(render(ROUTED), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["llm-d.ai/engine-type"] == engine_of(picker_config)["name"]


def test_the_picker_uses_plugins_that_are_declared(picker_config: Object) -> None:
    declared = plugins_of(picker_config)
    assert set(declared) == PLUGIN_TYPES
    (profile,) = picker_config["schedulingProfiles"]
    (source,) = picker_config["dataLayer"]["sources"]
    used = [
        *(each["pluginRef"] for each in profile["plugins"]),
        source["pluginRef"],
        *(each["pluginRef"] for each in source["extractors"]),
    ]
    assert set(used) == set(declared) - {"approx-prefix-cache-producer"}
    assert len(used) == len(set(used))


def test_pool_and_picker_name_each_other() -> None:
    objects = render(ROUTED)
    pool = only(objects, "InferencePool")["spec"]
    service = only(objects, "Service", pool["endpointPickerRef"]["name"])
    assert pool["endpointPickerRef"]["port"]["number"] == service["spec"]["ports"][0]["port"]
    deployment = only(objects, "Deployment", PICKER)["spec"]
    template = deployment["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    arguments = template["spec"]["containers"][0]["args"]
    assert "--pool-name=qstar" in arguments
    assert f"--pool-namespace={NAMESPACE}" in arguments
    assert template["spec"]["serviceAccountName"] == PICKER
    # Two would each know half of the prefixes.
    assert deployment["replicas"] == 1
    server = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert pool["targetPorts"] == [{"number": server["ports"][0]["containerPort"]}]


def test_the_route_leads_to_the_api_and_not_to_the_metrics() -> None:
    route = only(render(VALUE_SETS["routed elsewhere"]), "HTTPRoute")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    (rule,) = route["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert rule["backendRefs"][0]["kind"] == "InferencePool"
    unrouted = {"inferenceExtension": {**ROUTED["inferenceExtension"], "gateway": {"name": ""}}}
    assert not [each for each in render(unrouted) if each["kind"] == "HTTPRoute"]

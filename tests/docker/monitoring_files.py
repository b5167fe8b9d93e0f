"""The files of docker/monitoring and the PromQL in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
ALERTS = MONITORING / "prometheus" / "alerts.yml"
PROMETHEUS_CONFIG = MONITORING / "prometheus" / "prometheus.yml"
DASHBOARDS = MONITORING / "grafana" / "dashboards"
DATASOURCE = MONITORING / "grafana" / "datasources" / "prometheus.yaml"


@dataclass(frozen=True)
class Query:
    """A PromQL expression.

    Attributes:
        place: the alert or panel that it belongs to.
        expr: without variables of Grafana.
        legend: Grafana's template of a series' name; empty for an alert.
    """

    place: str
    expr: str
    legend: str = ""


def alert_rules() -> list[dict[str, Any]]:
    """The alerts as they are in the file."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard as it is in the file."""
    whole = json.loads((DASHBOARDS / "qstar.json").read_text(encoding="utf-8"))
    assert isinstance(whole, dict)
    return whole


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def all_queries(*, rate_interval: str = "5m") -> list[Query]:
    """The queries of alerts and dashboard.

    Args:
        rate_interval: what Grafana puts for `$__rate_interval`.
    """
    alerts = [Query(rule["alert"], rule["expr"]) for rule in alert_rules()]
    return alerts + list(_panel_queries(rate_interval))


def _panel_queries(rate_interval: str) -> Iterator[Query]:
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", rate_interval)
            expr = expr.replace("$instance", ".*")
            assert "$" not in expr, expr
            yield Query(panel["title"], expr, target["legendFormat"])

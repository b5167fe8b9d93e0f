"""The files of docker/monitoring and the PromQL in them."""

import json
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


def alert_queries() -> list[Query]:
    """The query of each alert."""
    return [Query(rule["alert"], rule["expr"]) for rule in alert_rules()]


def panel_queries(*, rate_interval: str = "5m") -> list[Query]:
    """The queries of all panels.

    Args:
        rate_interval: what Grafana puts for `$__rate_interval`.
    """
    return [
        Query(panel["title"], plain(target["expr"], rate_interval), target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]


def plain(expr: str, rate_interval: str) -> str:
    """A panel's expression with values for Grafana's variables."""
    expr = expr.replace("$__rate_interval", rate_interval).replace("$instance", ".*")
    assert "$" not in expr, expr
    return expr


def all_queries() -> list[Query]:
    """The queries of alerts and panels."""
    return [*alert_queries(), *panel_queries()]

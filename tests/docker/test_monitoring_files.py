"""Alerts, dashboard and their provisioning fit together, and Prometheus accepts its files."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docker.monitoring_files import (
    ALERTS,
    DASHBOARDS,
    DATASOURCE,
    PROMETHEUS_CONFIG,
    alert_rules,
    dashboard,
    panels,
)

ALERTS_TEST = Path(__file__).with_name("alerts_test.yml")
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus"
)


def promtool(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=directory, capture_output=True, text=True, timeout=60
    )


@needs_promtool
def test_prometheus_accepts_its_files(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("key", encoding="utf-8")
    config = PROMETHEUS_CONFIG.read_text(encoding="utf-8")
    for name, text in (
        ("prometheus.yml", config.replace("/tmp/api-key", str(tmp_path / "api-key"))),
        ("alerts.yml", ALERTS.read_text(encoding="utf-8")),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    checked = promtool("check", "config", "prometheus.yml", directory=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(alert_rules())} rules found" in checked.stdout


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Each alert fires for one made-up server, and not for one that is nearly as bad."""
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    shutil.copy(ALERTS_TEST, tmp_path)
    tested = promtool("test", "rules", ALERTS_TEST.name, directory=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_has_a_case_and_an_explanation() -> None:
    cases = yaml.safe_load(ALERTS_TEST.read_text(encoding="utf-8"))["tests"]
    fires = {
        test["alertname"]
        for case in cases
        for test in case["alert_rule_test"]
        if test.get("exp_alerts")
    }
    names = [rule["alert"] for rule in alert_rules()]
    assert len(names) == len(set(names))
    assert fires == set(names)
    explained = re.findall(r"^\| `(Qstar\w+)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert explained == names
    for rule in alert_rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert "instance" in rule["annotations"]["summary"]


def test_panels_are_explained_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= own
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles))
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_grafana_finds_datasource_and_dashboard() -> None:
    (source,) = yaml.safe_load(DATASOURCE.read_text(encoding="utf-8"))["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    variables = dashboard()["templating"]["list"]
    for user in [*panels(), *variables, *(each for panel in panels() for each in panel["targets"])]:
        assert user["datasource"] == wanted
    provider = yaml.safe_load((DASHBOARDS / "provider.yaml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["options"]["path"] == "/etc/grafana/provisioning/dashboards"

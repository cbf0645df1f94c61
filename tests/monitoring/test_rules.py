"""Rules, panels, runbooks and the component hang together."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from monitoring.component import FOLDER, write_component
from monitoring.dashboards import grafana_dashboards, panels
from monitoring.local import alertmanager_configuration
from monitoring.objectives import read_objectives
from monitoring.rules import rule_groups
from tests.conftest import ROOT

RULES: list[dict[str, Any]] = [
    rule for group in rule_groups(read_objectives())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
QUERIES = [panel["query"] for dashboard in panels() for panel in dashboard["panels"]]


def known_metrics() -> set[str]:
    """Names in docs/metrics.md, which a test compares with what the servers expose."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    found = set(re.findall(r"^\| `(vision_\w+)`", text, re.MULTILINE))
    return found | {f"{name}_{part}" for name in found for part in ("bucket", "count", "sum")}


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_every_metric_that_is_asked_for_is_exposed(query: str) -> None:
    assert set(re.findall(r"\bvision_\w+", query)) <= known_metrics()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert set(re.findall(r"\bvision:[\w:]+", query)) <= recorded


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    headed = set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert headed == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_a_dot_in_a_models_name_stands_for_itself() -> None:
    own = read_objectives().models["land-cover"]
    objectives = read_objectives().model_copy(update={"models": {"a.b": own, "c": own}})
    (default, *_) = rule_groups(objectives)["groups"]
    (others,) = set(re.findall(r'model_name!~"([^"]*)"', default["rules"][0]["expr"]))
    assert re.fullmatch(others, "a.b")
    assert not re.fullmatch(others, "axb")


def test_every_alert_names_the_panel_that_shows_it() -> None:
    shown = {f"{d['title']} / {panel['title']}" for d in panels() for panel in d["panels"]}
    assert {rule["annotations"]["panel"] for rule in ALERTS} <= shown


def test_no_two_rules_are_one_to_prometheus() -> None:
    keys = [(r.get("alert", r.get("record")), json.dumps(r.get("labels", {}))) for r in RULES]
    assert len(keys) == len(set(keys))


def test_the_component_is_written_from_the_objectives(tmp_path: Any) -> None:
    for path in write_component(read_objectives(), tmp_path):
        assert path.read_text() == (FOLDER / path.name).read_text(), "run `make monitor-manifests`"


def test_grafana_gets_every_panel_with_its_own_window() -> None:
    dashboards = [json.loads(text) for text in grafana_dashboards().values()]
    given = [p["targets"][0]["expr"] for d in dashboards for p in d["panels"]]
    assert [q.replace("$window", "$__rate_interval") for q in QUERIES] == given
    places = [
        (d["uid"], p["gridPos"]["x"], p["gridPos"]["y"]) for d in dashboards for p in d["panels"]
    ]
    assert len(places) == len(set(places))


def test_the_rules_are_yaml_without_references() -> None:
    assert "&id" not in (FOLDER / "prometheusrule.yaml").read_text()
    document = yaml.safe_load((FOLDER / "prometheusrule.yaml").read_text())
    rules = rule_groups(read_objectives())
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        rule["labels"]["namespace"] = "vision"
    assert document["spec"] == rules


def test_alertmanagers_operator_gets_what_make_monitor_gives_it() -> None:
    text = (FOLDER / "alertmanagerconfig.yaml").read_text()
    spec = yaml.safe_load(text)["spec"]
    here = alertmanager_configuration()
    assert spec["route"]["groupBy"] == here["route"]["group_by"]
    (rule,), (told,) = spec["inhibitRules"], here["inhibit_rules"]
    assert rule["equal"] == told["equal"]
    (source,) = rule["sourceMatch"]
    assert (source["name"], source["value"]) == ("severity", "page")

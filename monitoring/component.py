"""The kustomize component, for the operators of Prometheus and Grafana: rules, alerts' receiver,
dashboards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.processes import ROOT
from common.yaml_text import yaml_text
from monitoring.dashboards import grafana_dashboards
from monitoring.local import alertmanager_configuration
from monitoring.objectives import Objectives
from monitoring.rules import rule_groups

FOLDER = ROOT / "manifests" / "components" / "monitoring"
NAMESPACE = "vision"
URL_SECRET = {"name": "alert-webhook", "key": "url"}
"""Where the URL is that is told of alerts."""
HEAD = "# Written by `make monitor-manifests` from monitoring/: change it there.\n"


def write_component(objectives: Objectives, folder: Path = FOLDER) -> list[Path]:
    """Write what comes from the objectives and panels; returns the files."""
    rules = rule_groups(objectives)
    for alert in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        # The operator gives Alertmanager's configuration the alerts of its namespace alone.
        alert["labels"]["namespace"] = NAMESPACE
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vision"},
        "spec": rules,
    }
    dashboards = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "vision-dashboards", "labels": {"grafana_dashboard": "1"}},
        "data": grafana_dashboards(),
    }
    written = []
    for name, document in (
        ("prometheusrule.yaml", rule),
        ("alertmanagerconfig.yaml", _alertmanager()),
        ("dashboards.yaml", dashboards),
    ):
        path = folder / name
        path.write_text(HEAD + yaml_text(document), encoding="utf-8")
        written.append(path)
    return written


def _alertmanager() -> dict[str, Any]:
    """What ``make monitor`` gives Alertmanager, as its operator takes it."""
    here = alertmanager_configuration()
    route = here["route"]
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "vision"},
        "spec": {
            "route": {
                "receiver": route["receiver"],
                "groupBy": route["group_by"],
                "groupWait": route["group_wait"],
                "repeatInterval": route["repeat_interval"],
            },
            "inhibitRules": [
                {
                    "sourceMatch": [_matcher(text) for text in rule["source_matchers"]],
                    "targetMatch": [_matcher(text) for text in rule["target_matchers"]],
                    "equal": rule["equal"],
                }
                for rule in here["inhibit_rules"]
            ],
            "receivers": [
                {
                    "name": route["receiver"],
                    "webhookConfigs": [{"urlSecret": URL_SECRET, "sendResolved": True}],
                }
            ],
        },
    }


def _matcher(text: str) -> dict[str, str]:
    """Such as ``severity="page"``."""
    name, _, value = text.partition("=")
    return {"name": name, "value": value.strip('"')}

"""The kustomize component: rules and dashboards, for the operators of Prometheus and Grafana."""

from __future__ import annotations

from pathlib import Path

from common.processes import ROOT
from common.yaml_text import yaml_text
from monitoring.dashboards import grafana_dashboards
from monitoring.objectives import Objectives
from monitoring.rules import rule_groups

FOLDER = ROOT / "manifests" / "components" / "monitoring"
HEAD = "# Written by `make monitor-manifests` from monitoring/: change it there.\n"


def write_component(objectives: Objectives, folder: Path = FOLDER) -> list[Path]:
    """Write what comes from the objectives and panels; returns the files."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vision"},
        "spec": rule_groups(objectives),
    }
    dashboards = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "vision-dashboards", "labels": {"grafana_dashboard": "1"}},
        "data": grafana_dashboards(),
    }
    written = []
    for name, document in (("prometheusrule.yaml", rule), ("dashboards.yaml", dashboards)):
        path = folder / name
        path.write_text(HEAD + yaml_text(document), encoding="utf-8")
        written.append(path)
    return written

"""Grafana's dashboards and the page of ``make monitor``, from one list of panels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("panels.yaml")
COSTS = Path(__file__).with_name("costs.yaml")
WINDOW = "$window"
"""Stands in a query for the window of its rates, which whoever draws it chooses."""
GRAFANA_WINDOW = "$__rate_interval"
UNIT_OF_MONEY = "currency"
"""Grafana's units of money begin with it: ``currencyEUR``."""
COLUMNS, WIDTH, HEIGHT = 2, 12, 8
SCHEMA_VERSION = 39
SOURCE = {"type": "prometheus", "uid": "${source}"}

Document = dict[str, Any]


def panels() -> list[Document]:
    """The dashboards with their panels, as the file has them, with the prices of the other file."""
    text = FILE.read_text(encoding="utf-8")
    costs: dict[str, str | float] = yaml.safe_load(COSTS.read_text(encoding="utf-8"))
    for name, value in costs.items():
        unit = UNIT_OF_MONEY if name == "currency" else ""
        text = text.replace(f"${name}", f"{unit}{value}")
    document: Document = yaml.safe_load(text)
    dashboards: list[Document] = document["dashboards"]
    return dashboards


def grafana_dashboards() -> dict[str, str]:
    """Each dashboard's JSON by its file's name."""
    found = {}
    for dashboard in panels():
        slug = f"vision-{dashboard['title'].lower().replace(' ', '-')}"
        found[f"{slug}.json"] = json.dumps(_dashboard(slug, dashboard), indent=1)
    return found


def _dashboard(slug: str, dashboard: Document) -> Document:
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": slug,
        "title": f"Vision: {dashboard['title']}",
        "tags": ["vision"],
        "schemaVersion": SCHEMA_VERSION,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [source]},
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel["title"],
                "datasource": SOURCE,
                "gridPos": {
                    "x": number % COLUMNS * WIDTH,
                    "y": number // COLUMNS * HEIGHT,
                    "w": WIDTH,
                    "h": HEIGHT,
                },
                "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": SOURCE,
                        "expr": panel["query"].replace(WINDOW, GRAFANA_WINDOW),
                        "legendFormat": panel["legend"],
                        "exemplar": "_bucket" in panel["query"],
                    }
                ],
            }
            for number, panel in enumerate(dashboard["panels"])
        ],
    }

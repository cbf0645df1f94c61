"""Prometheus' rules from the objectives: what is recorded, and alerts on how fast a budget burns.

Of requests and of failed ones the rate over 5 minutes is recorded; longer windows are sums of that,
so that an hour counts each request once, however the traffic came. Windows and factors are those of
Google's SRE workbook ("Alerting on SLOs", 6) for 30 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from monitoring.objectives import DAYS, Objective, Objectives

ALERTS = Path(__file__).with_name("alerts.yaml")
RUNBOOKS = "docs/runbooks.md"
INTERVAL_SECONDS = 30
FAILED = "429|500|502|503|504|UNAVAILABLE|INTERNAL|UNKNOWN|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"
"""Codes of requests that failed for a reason that is not the caller's."""
UNDECIDED = "499|CANCELLED"
"""The caller did not wait: neither an answer nor a failure."""
BURNING = "VisionErrorBudgetBurning"

Rule = dict[str, Any]


class Window(NamedTuple):
    """An alert where a budget burns ``factor`` times too fast over both windows."""

    long: str
    short: str
    factor: float
    severity: str


WINDOWS = (
    Window("1h", "5m", 14.4, "page"),
    Window("6h", "30m", 6.0, "page"),
    Window("1d", "2h", 3.0, "ticket"),
    Window("3d", "6h", 1.0, "ticket"),
)


def rule_groups(objectives: Objectives) -> dict[str, Any]:
    """A rule file's content: what Prometheus reads, and the spec of a ``PrometheusRule``."""
    groups = [_group(*promise, objectives.minimum_errors) for promise in _promises(objectives)]
    others: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in others["groups"]:
        for rule in group["rules"]:
            rule.setdefault("annotations", {})["runbook"] = runbook(rule["alert"])
    return {"groups": [*groups, *others["groups"]]}


def runbook(alert: str) -> str:
    """Where the documentation says what to do."""
    return f"{RUNBOOKS}#{alert.lower()}"


def _promises(objectives: Objectives) -> Iterator[tuple[str, str, Objective]]:
    named = "|".join(sorted(objectives.models))
    # A request for no model that is served has no model's budget.
    yield "default", f'model_name!="",model_name!~"{named}"', objectives.default
    for name, objective in sorted(objectives.models.items()):
        yield name, f'model_name="{name}"', objective


def _group(name: str, selector: str, target: Objective, minimum: int) -> dict[str, Any]:
    """Rules of the models that a selector takes."""
    asked = f'component="transformer",protocol!="",{selector}'
    requests = (
        f'sum by (model_name) (rate(vision_requests_total{{{asked},code!~"{UNDECIDED}"}}[5m]))'
    )
    failed = f'sum by (model_name) (rate(vision_requests_total{{{asked},code=~"{FAILED}"}}[5m]))'
    answers = f"sum by (model_name) (rate(vision_request_seconds_count{{{asked}}}[5m]))"
    bound = f'le="{target.latency.seconds}"'
    fast = f"sum by (model_name) (rate(vision_request_seconds_bucket{{{asked},{bound}}}[5m]))"
    rules: list[Rule] = []
    for objective, percent, total, errors in (
        # Where nothing has failed yet there is no series of it: 0, not nothing.
        ("availability", target.availability, requests, f"{failed} or 0 * ({requests})"),
        ("latency", target.latency.percent, answers, f"{answers} - {fast}"),
    ):
        labels = {"objective": objective, "promise": name}
        chosen = _selector(labels)
        budget = round(1 - percent / 100, 6)
        rules += [
            {"record": "vision:requests:rate5m", "expr": total, "labels": labels},
            {"record": "vision:errors:rate5m", "expr": errors, "labels": labels},
            {
                "record": "vision:error_budget_left:ratio",
                "expr": f"1 - ({_share(chosen, f'{DAYS}d')}) / {budget}",
                "labels": labels,
            },
            *(_burning(labels, budget, window, minimum) for window in WINDOWS),
        ]
    return {"name": f"vision-objectives-{name}", "interval": f"{INTERVAL_SECONDS}s", "rules": rules}


def _share(chosen: str, window: str) -> str:
    """Share of the requests of a window that failed."""
    if window == "5m":
        return f"vision:errors:rate5m{chosen} / vision:requests:rate5m{chosen}"
    return (
        f"sum_over_time(vision:errors:rate5m{chosen}[{window}])"
        f" / sum_over_time(vision:requests:rate5m{chosen}[{window}])"
    )


def _burning(labels: dict[str, str], budget: float, window: Window, minimum: int) -> Rule:
    chosen = _selector(labels)
    limit = f"{window.factor * budget:.6g}"
    # A rate a second, every INTERVAL_SECONDS: their sum, times the interval, is a count.
    failed = f"sum_over_time(vision:errors:rate5m{chosen}[{window.long}]) * {INTERVAL_SECONDS}"
    return {
        "alert": BURNING,
        "expr": f"({_share(chosen, window.long)}) > {limit}"
        f" and ({_share(chosen, window.short)}) > {limit}"
        f" and ({failed}) >= {minimum}",
        "labels": {**labels, "severity": window.severity, "window": window.long},
        "annotations": {
            "summary": "{{ $labels.model_name }}: the error budget of {{ $labels.objective }}"
            f" burns {window.factor:g} times too fast",
            "description": f"In the last {window.long} {{{{ $value | humanizePercentage }}}} of the"
            f" requests missed the objective. At {window.factor:g} times the rate that the budget"
            f" allows, all of its {DAYS} days are gone in {DAYS / window.factor:.2g}.",
            "runbook": runbook(BURNING),
        },
    }


def _selector(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"

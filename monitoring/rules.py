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

from common.intervals import Z95
from monitoring.objectives import DAYS, Objective, Objectives, Promise

ALERTS = Path(__file__).with_name("alerts.yaml")
RUNBOOKS = "docs/runbooks.md"
INTERVAL_SECONDS = 30
FAILED = "429|500|502|503|504|UNAVAILABLE|INTERNAL|UNKNOWN|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"
"""Codes of requests that failed for a reason that is not the caller's."""
UNDECIDED = "499|CANCELLED"
"""The caller did not wait: neither an answer nor a failure."""
BURNING = "VisionErrorBudgetBurning"
INACCURATE = "VisionAccuracyLow"

Rule = dict[str, Any]


class Window(NamedTuple):
    """An alert where a budget burns ``factor`` times too fast over both windows."""

    long: str
    short: str
    factor: float
    severity: str


class _Promised(NamedTuple):
    """A promise, and the requests that it is for.

    Attributes:
        name: the promise's; no two have the same.
        prefix: of the metrics that count them.
        by: labels, of which each combination has a budget of its own.
        selector: what those metrics' labels must be.
        dashboard: that shows it.
    """

    name: str
    prefix: str
    by: str
    selector: str
    dashboard: str
    promise: Promise


WINDOWS = (
    Window("1h", "5m", 14.4, "page"),
    Window("6h", "30m", 6.0, "page"),
    Window("1d", "2h", 3.0, "ticket"),
    Window("3d", "6h", 1.0, "ticket"),
)


def rule_groups(objectives: Objectives) -> dict[str, Any]:
    """A rule file's content: what Prometheus reads, and the spec of a ``PrometheusRule``."""
    groups = [_group(promised, objectives.minimum_errors) for promised in _promised(objectives)]
    groups.append(_accuracy_group(objectives))
    others: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in others["groups"]:
        for rule in group["rules"]:
            rule.setdefault("annotations", {})["runbook"] = runbook(rule["alert"])
    return {"groups": [*groups, *others["groups"]]}


def runbook(alert: str) -> str:
    """Where the documentation says what to do."""
    return f"{RUNBOOKS}#{alert.lower()}"


def _of_all(objectives: Objectives) -> Iterator[tuple[str, str, Objective]]:
    """Name, labels of the models and what is promised, of each promise for models."""
    others = "|".join(name.replace(".", "[.]") for name in sorted(objectives.models))
    # A request for no model that is served has no model's budget.
    yield "default", f'model_name!="",model_name!~"{others}"', objectives.default
    for name, objective in sorted(objectives.models.items()):
        yield name, f'model_name="{name}"', objective


def _promised(objectives: Objectives) -> Iterator[_Promised]:
    for name, models, objective in _of_all(objectives):
        selector = f'component="transformer",protocol!="",{models}'
        yield _Promised(name, "vision", "model_name", selector, "Service", objective)
        for customers, promise in objective.customers.items():
            yield _Promised(
                f"{name}-{customers}",
                "vision_edge",
                "model_name, customer_class",
                f'{models},customer_class="{customers}"',
                "Customers and bills",
                promise,
            )


def _group(of: _Promised, minimum: int) -> dict[str, Any]:
    def rate(metric: str, selector: str = "") -> str:
        chosen = of.selector + selector
        return f"sum by ({of.by}) (rate({of.prefix}_{metric}{{{chosen}}}[5m]))"

    requests = rate("requests_total", f',code!~"{UNDECIDED}"')
    failed = rate("requests_total", f',code=~"{FAILED}"')
    answers = rate("request_seconds_count")
    fast = rate("request_seconds_bucket", f',le="{of.promise.latency.seconds}"')
    rules: list[Rule] = []
    for objective, percent, total, errors in (
        # Where nothing has failed yet there is no series of it: 0, not nothing.
        ("availability", of.promise.availability, requests, f"{failed} or 0 * ({requests})"),
        ("latency", of.promise.latency.percent, answers, f"{answers} - {fast}"),
    ):
        labels = {"objective": objective, "promise": of.name}
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
            *(_burning(of, labels, budget, window, minimum) for window in WINDOWS),
        ]
    every = f"{INTERVAL_SECONDS}s"
    return {"name": f"vision-objectives-{of.name}", "interval": every, "rules": rules}


def _accuracy_group(objectives: Objectives) -> dict[str, Any]:
    """Accuracy of the day by model and revision, and alerts where even luck does not explain it."""
    said = "vision:feedback:increase1d"
    right = "vision:feedback_right:ratio1d"
    parts = "sum by (model_name, revision)"
    rules: list[Rule] = [
        {
            "record": said,
            "expr": f'{parts} (increase(vision_feedback_total{{outcome=~"right|wrong"}}[1d]))',
        },
        {
            "record": right,
            # Where nothing was wrong yet there is no series of it: 0, not nothing.
            "expr": f'1 - ({parts} (increase(vision_feedback_total{{outcome="wrong"}}[1d]))'
            f" or 0 * {said}) / ({said} > 0)",
        },
    ]
    minimum = objectives.minimum_feedback
    for name, selector, target in _of_all(objectives):
        if target.accuracy is None:
            continue
        count, share = f"{said}{{{selector}}}", f"{right}{{{selector}}}"
        # The upper end of Wilson's interval of 95 %.
        square = round(Z95 * Z95, 6)
        spread = f"sqrt({share} * (1 - {share}) / {count} + {square} / (4 * {count} ^ 2))"
        high = f"({share} + {square} / (2 * {count}) + {Z95} * {spread}) / (1 + {square} / {count})"
        rules.append(
            {
                "alert": INACCURATE,
                "expr": f"{high} < {target.accuracy / 100:.6g} and {count} >= {minimum}",
                "for": "5m",
                "labels": {"severity": "ticket", "promise": name},
                "annotations": {
                    "summary": "{{ $labels.model_name }}/{{ $labels.revision }}: at most"
                    " {{ $value | humanizePercentage }} of what customers said something of was"
                    f" right, {target.accuracy:g} % is promised",
                    "panel": "Drift / Accuracy, as customers say",
                    "runbook": runbook(INACCURATE),
                },
            }
        )
    return {"name": "vision-accuracy", "interval": f"{INTERVAL_SECONDS}s", "rules": rules}


def _share(chosen: str, window: str) -> str:
    """Share of the requests of a window that failed."""
    if window == "5m":
        return f"vision:errors:rate5m{chosen} / vision:requests:rate5m{chosen}"
    return (
        f"sum_over_time(vision:errors:rate5m{chosen}[{window}])"
        f" / sum_over_time(vision:requests:rate5m{chosen}[{window}])"
    )


def _burning(
    of: _Promised, labels: dict[str, str], budget: float, window: Window, minimum: int
) -> Rule:
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
            "summary": "{{ $labels.model_name }}"
            "{{ with $labels.customer_class }} ({{ . }}){{ end }}: the error budget of"
            f" {{{{ $labels.objective }}}} burns {window.factor:g} times too fast",
            "description": f"In the last {window.long} {{{{ $value | humanizePercentage }}}} of the"
            f" requests missed the objective. At {window.factor:g} times the rate that the budget"
            f" allows, all of its {DAYS} days are gone in {DAYS / window.factor:.2g}.",
            "panel": f"{of.dashboard} / Error budget left",
            "runbook": runbook(BURNING),
        },
    }


def _selector(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"

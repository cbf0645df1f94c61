"""``vision monitor report``: what is left of each error budget."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from monitoring.objectives import DAYS
from monitoring.rules import INTERVAL_SECONDS

TIMEOUT_SECONDS = 10
HEAD = ("model", "customers", "objective", "requests", "missed", "budget left")
"""Of ``budget_rows``."""


class PrometheusError(Exception):
    """Prometheus cannot be asked; says why."""


def budget_rows(url: str) -> list[tuple[str, ...]]:
    """A row for each model, class of customers (all of them first) and objective.

    Raises:
        PrometheusError: it does not answer, or refuses the question.
    """
    left = _by_promise(url, "vision:error_budget_left:ratio")
    rates = _by_promise(url, f"sum_over_time(vision:requests:rate5m[{DAYS}d])")
    missed = _by_promise(url, f"sum_over_time(vision:errors:rate5m[{DAYS}d])")
    return [
        (
            model,
            customers or "all",
            objective,
            # A rate a second, every INTERVAL_SECONDS
            f"{rates[key] * INTERVAL_SECONDS:,.0f}",
            f"{missed[key] / rates[key] if rates[key] else 0:.3%}",
            # Nobody has asked: of nothing there is no share.
            "–" if math.isnan(left[key]) else f"{left[key]:.1%}",
        )
        for key in sorted(left)
        for model, customers, objective in [key]
    ]


def _by_promise(url: str, query: str) -> dict[tuple[str, str, str], float]:
    found = {}
    for series in ask(url, query):
        labels = series["metric"]
        key = (labels["model_name"], labels.get("customer_class", ""), labels["objective"])
        found[key] = float(series["value"][1])
    return found


def ask(url: str, query: str) -> list[dict[str, Any]]:
    """The series of an instant query.

    Raises:
        PrometheusError: as above.
    """
    return _ask(url, "query", {"query": query})


def ask_range(url: str, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    """The series of a query at every ``step`` seconds from ``start`` to ``end``.

    Raises:
        PrometheusError: as above.
    """
    times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
    return _ask(url, "query_range", {"query": query, **times})


def _ask(url: str, what: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
    where = f"{url.rstrip('/')}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    if not where.startswith(("http://", "https://")):
        raise PrometheusError(f"{url} is not the address of a Prometheus: http://host:port")
    try:
        with urllib.request.urlopen(where, timeout=TIMEOUT_SECONDS) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        raise PrometheusError(f"{url} answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise PrometheusError(f"{url} does not answer: {error}") from None
    result: list[dict[str, Any]] = document["data"]["result"]
    return result

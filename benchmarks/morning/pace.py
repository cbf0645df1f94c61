"""Rules and configurations for a morning that takes minutes: their durations, made shorter."""

from __future__ import annotations

import copy
import re
from typing import Any

from monitoring.rules import INTERVAL_SECONDS

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?<=[\[:])(\d+)([smhd])(?=[\]:])")
_COUNTED = f"* {INTERVAL_SECONDS})"
"""In a rule, where a sum of rates becomes a count."""

Document = dict[str, Any]


def shortened(duration: str, factor: float) -> str:
    """Such as ``5m``, so many times as short, in milliseconds."""
    seconds = int(duration[:-1]) * UNITS[duration[-1]]
    return f"{max(1, round(1000 * seconds / factor))}ms"


def faster_rules(groups: Document, factor: float) -> Document:
    """A rule file's content whose windows, waits and intervals are ``factor`` times as short."""
    found: Document = copy.deepcopy(groups)
    for group in found["groups"]:
        if "interval" in group:
            group["interval"] = shortened(group["interval"], factor)
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = shortened(rule["for"], factor)
            expression = _DURATION.sub(lambda m: shortened(m[0], factor), rule["expr"])
            rule["expr"] = expression.replace(_COUNTED, f"* {INTERVAL_SECONDS / factor})")
    return found


def faster_alertmanager(configuration: Document, factor: float) -> Document:
    """Alertmanager's, likewise; it groups for five minutes where nothing else is said."""
    found: Document = copy.deepcopy(configuration)
    route = found["route"]
    route.setdefault("group_interval", "5m")
    for name in ("group_wait", "group_interval", "repeat_interval"):
        route[name] = shortened(route[name], factor)
    return found

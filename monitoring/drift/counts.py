"""Counts of pictures and answers: by statistic, by bin."""

from __future__ import annotations

from collections.abc import Mapping

from artifact.statistics import BRIGHTNESS

Key = tuple[str, str]
"""Model and revision."""

Counts = Mapping[str, Mapping[str, int]]
"""Pictures, by a statistic's name and the name of its bin."""

NOTHING: Counts = {}


def plus(one: Counts, other: Counts) -> Counts:
    return _combined(one, other, 1)


def less(one: Counts, other: Counts) -> Counts:
    return _combined(one, other, -1)


def _combined(one: Counts, other: Counts, sign: int) -> Counts:
    found = {statistic: dict(bins) for statistic, bins in one.items()}
    for statistic, bins in other.items():
        into = found.setdefault(statistic, {})
        for name, count in bins.items():
            into[name] = into.get(name, 0) + sign * count
    return found


def pictures(counts: Counts) -> int:
    """How many there were: each has a brightness."""
    return sum(counts.get(BRIGHTNESS.name, {}).values())

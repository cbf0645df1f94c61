"""From the counters of any number of servers to what was counted since the last look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from artifact.statistics import (
    LABEL,
    LABELS_METRIC,
    POLARITIES_METRIC,
    POLARITY,
    STATISTICS,
)
from monitoring.drift.counts import Counts, Key

Series = frozenset[tuple[str, str]]
"""Labels of a counter, with its name as ``__name__``."""

Snapshot = Mapping[Series, float]

BASELINE = "vision_baseline_predictions"
BUCKETS = {f"{item.metric}_bucket": name for name, item in STATISTICS.items()}
COUNTERS = {f"{LABELS_METRIC}_total": LABEL, f"{POLARITIES_METRIC}_total": POLARITY}
NAMES = (*BUCKETS, *COUNTERS)


KEPT_LOOKS = 1000
"""Looks without a series, at least, after which it is forgotten: pods come and go for ever."""


class Increases:
    """Follows counters that begin anew where their server does, and end where it does.

    Args:
        since_start: whether what stands in a counter at the first look was counted just now.
    """

    def __init__(self, since_start: bool = False) -> None:
        self._last: dict[Series, float] = {}
        self._older: dict[Series, float] = {}
        self._looks = 0
        self._counts_new = since_start

    def take(self, snapshot: Snapshot) -> dict[Key, Counts]:
        """What was counted since the snapshot before."""
        grown: dict[Series, float] = {}
        for series, value in snapshot.items():
            before = self._last.get(series, self._older.get(series))
            if before is None:
                before = 0.0 if self._counts_new else value
            grown[series] = value - before if value >= before else value
        self._last.update(snapshot)
        self._counts_new = True
        self._looks += 1
        if self._looks % KEPT_LOOKS == 0:
            self._older, self._last = self._last, {}
        return counts_of(grown)


def counts_of(snapshot: Snapshot) -> dict[Key, Counts]:
    """Added over servers, by model and revision."""
    below: dict[tuple[Key, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    found: dict[Key, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for series, value in snapshot.items():
        labels = dict(series)
        name = labels["__name__"]
        key = (labels.get("model_name", ""), labels.get("revision", ""))
        if statistic := BUCKETS.get(name):
            below[key, statistic][labels["le"]] += value
        elif statistic := COUNTERS.get(name):
            bins = found[key][statistic]
            bins[labels[statistic]] = bins.get(labels[statistic], 0) + round(value)
    for (key, statistic), cumulative in below.items():
        had = 0.0
        for bound in sorted(cumulative, key=float):
            found[key][statistic][bound] = round(max(0.0, cumulative[bound] - had))
            had = cumulative[bound]
    return {key: dict(counts) for key, counts in found.items()}


def baselines_of(snapshot: Snapshot) -> dict[Key, Counts]:
    """What model cards say, as predictors expose it: several pods say the same."""
    found: dict[Key, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for series, value in snapshot.items():
        labels = dict(series)
        key = (labels["model_name"], labels["revision"])
        found[key][labels["statistic"]][labels["bin"]] = round(value)
    return {key: dict(counts) for key, counts in found.items()}

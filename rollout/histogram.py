"""Counts of durations in buckets: what can be added up over pods, holds and interruptions."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field

FINE = tuple(0.001 * 1.25**i for i in range(50))
"""Upper bounds in seconds, from 1 ms to about a minute, a quarter apart."""


@dataclass
class Histogram:
    """``counts`` by upper bound in seconds; ``inf`` is the last. Not cumulative."""

    counts: dict[float, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.counts.values())

    def observe(self, seconds: float) -> None:
        """Count one duration in the fine buckets."""
        place = bisect_left(FINE, seconds)
        self.add({FINE[place] if place < len(FINE) else math.inf: 1.0})

    def add(self, counts: dict[float, float]) -> None:
        for bound, count in counts.items():
            self.counts[bound] = self.counts.get(bound, 0.0) + count

    def quantile(self, share: float) -> float:
        """Seconds, by linear interpolation within a bucket (as Prometheus does it); 0 if empty."""
        wanted = share * self.total
        below, lower = 0.0, 0.0
        for bound in sorted(self.counts):
            count = self.counts[bound]
            if count and below + count >= wanted:
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (wanted - below) / count
            below += count
            lower = bound
        return lower

    def to_json(self) -> dict[str, float]:
        return {repr(bound): count for bound, count in sorted(self.counts.items()) if count}

    @classmethod
    def from_json(cls, document: dict[str, float]) -> Histogram:
        return cls({float(bound): count for bound, count in document.items()})

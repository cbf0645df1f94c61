"""The zeros that cumulative counts began with, for whoever reckons with their differences.

A count is sent when something has been counted. Prometheus' ``rate`` and ``increase`` take what a
series begins with for what it always was, and would miss what a process counted before its first
push: of a pod that was gone by then, everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.sdk.metrics import export

Key = tuple[str, tuple[tuple[str, object], ...]]
Point = export.NumberDataPoint | export.HistogramDataPoint


class Zeros:
    """What has been sent of each counter and histogram, and when last.

    Args:
        started_ns: when all of them were zero.
    """

    def __init__(self, started_ns: int) -> None:
        self._sent: set[Key] = set()
        self._at_ns = started_ns

    def added(self, metrics: Sequence[export.Metric]) -> list[export.Metric]:
        """The same, and before each point of a series that is new, the zero of the last time."""
        return [
            replace(metric, data=replace(metric.data, data_points=self._with_zeros(metric)))
            if isinstance(metric.data, (export.Sum, export.Histogram))
            else metric
            for metric in metrics
        ]

    def arrived(self, metrics: Sequence[export.Metric], at_ns: int) -> None:
        """They have been sent: what is not among them was zero at that time."""
        self._at_ns = at_ns
        for metric in metrics:
            self._sent.update(_key(metric, point) for point in metric.data.data_points)

    def _with_zeros(self, metric: export.Metric) -> list[Point]:
        return [
            each
            for point in metric.data.data_points
            for each in (self._zero(point), point)
            if each is point or _key(metric, point) not in self._sent
        ]

    def _zero(self, point: Point) -> Point:
        if isinstance(point, export.HistogramDataPoint):
            none = [0] * len(point.bucket_counts)
            return replace(point, time_unix_nano=self._at_ns, count=0, sum=0, bucket_counts=none)
        return replace(point, time_unix_nano=self._at_ns, value=0)


def _key(metric: export.Metric, point: Point) -> Key:
    return metric.name, tuple((point.attributes or {}).items())

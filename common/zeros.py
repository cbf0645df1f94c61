"""The zeros that cumulative counts began with, for whoever reckons with their differences.

A count is sent when something has been counted. Prometheus' ``rate`` and ``increase`` take what a
series begins with for what it always was, and would miss what a process counted before its first
push: of a pod that was gone by then, everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from opentelemetry.sdk.metrics import export

Key = tuple[str, tuple[tuple[str, object], ...]]
Point = TypeVar("Point", export.NumberDataPoint, export.HistogramDataPoint)


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
        found = []
        for metric in metrics:
            data = metric.data
            if isinstance(data, export.Sum):
                zeros = [replace(p, time_unix_nano=self._at_ns, value=0) for p in data.data_points]
                data = replace(data, data_points=self._before(metric.name, zeros, data.data_points))
            elif isinstance(data, export.Histogram):
                none = [self._empty(point) for point in data.data_points]
                data = replace(data, data_points=self._before(metric.name, none, data.data_points))
            found.append(replace(metric, data=data))
        return found

    def arrived(self, metrics: Sequence[export.Metric], at_ns: int) -> None:
        """They have been sent: what is not among them was zero at that time."""
        self._at_ns = at_ns
        for metric in metrics:
            self._sent.update(_key(metric.name, point) for point in metric.data.data_points)

    def _empty(self, point: export.HistogramDataPoint) -> export.HistogramDataPoint:
        none = [0] * len(point.bucket_counts)
        return replace(point, time_unix_nano=self._at_ns, count=0, sum=0, bucket_counts=none)

    def _before(self, name: str, zeros: Sequence[Point], points: Sequence[Point]) -> list[Point]:
        found = []
        for zero, point in zip(zeros, points, strict=True):
            if _key(name, point) not in self._sent:
                found.append(zero)
            found.append(point)
        return found


def _key(name: str, point: export.DataPointT) -> Key:
    return name, tuple((point.attributes or {}).items())

"""Metrics that one thread counts and any thread reads, exposed by ``prometheus_client``.

Its own take a lock for every number: 1 µs to count and 2 µs to observe on the machine of
``benchmarks.metrics``. A server counts on its event loop alone, a dozen numbers a request, so these
do without and take a sixth of that. What is counted seldom, or in other threads, may as well be one
of the library's own.

Names follow the conventions of Prometheus and OpenMetrics: a unit at the end, ``_total`` after
counters (added in the exposition), labels of few values.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

SECONDS = (
    *(0.0002, 0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds of durations, from 0.2 ms to a minute."""

BYTES = tuple(float(1 << power) for power in range(8, 29, 2))
"""Upper bounds of bodies, from 256 bytes to 256 MiB."""

PIXELS = tuple(float(1 << power) for power in range(8, 29, 2))
"""Upper bounds of pictures, from 16 × 16 to 16,384 × 16,384."""

COUNTS = tuple(float(1 << power) for power in range(9))
"""Upper bounds of what shares a batch, from 1 to 256."""

CustomerClass = Literal["key", "try"]
"""Whose a request at the edge is: of somebody with a key, or one without."""

Labels = tuple[str, ...]


class Count:
    """A number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount


class Distribution:
    """Values in buckets, their sum, and of each bucket the last one that belongs to a trace."""

    __slots__ = ("_bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.exemplars: dict[int, Exemplar] = {}
        self.total = 0.0

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count one value.

        Args:
            trace_id: of the recorded trace that it is a part of.
        """
        place = bisect_left(self._bounds, value)
        self.counts[place] += 1
        self.total += value
        if trace_id:
            self.exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count many values that somebody has put into buckets.

        Args:
            counts: of each bucket, the one above all bounds last.
            total: their sum.
        """
        self.counts = [had + more for had, more in zip(self.counts, counts, strict=True)]
        self.total += total


Child = TypeVar("Child")


class Family(Collector, Generic[Child]):
    """One metric: a child for every combination of its labels' values.

    To look a child up takes as long as to count, so whoever counts keeps it.

    Args:
        name: without ``_total``.
        labels: names; whatever a stranger can choose is no label's value.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Labels = (),
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.label_names = labels
        self._children: dict[Labels, Child] = {}
        registry.register(self)

    def labels(self, *values: str) -> Child:
        """The child of these values, in the order of the names."""
        child = self._children.get(values)
        if child is None:
            assert len(values) == len(self.label_names)
            child = self._children[values] = self._new()
        return child

    def collect(self) -> Iterator[Metric]:
        metric = self._metric()
        for values, child in list(self._children.items()):
            self._add(metric, values, child)
        yield metric

    def describe(self) -> Iterator[Metric]:
        yield self._metric()

    @abstractmethod
    def _new(self) -> Child:
        """A child that has counted nothing."""

    @abstractmethod
    def _metric(self) -> Metric:
        """The metric without a sample."""

    @abstractmethod
    def _add(self, metric: Metric, values: Labels, child: Child) -> None:
        """Add a child's samples to what ``_metric`` gave."""


class Counts(Family[Count]):
    """A counter."""

    def _new(self) -> Count:
        return Count()

    def _metric(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.name, self.documentation, labels=self.label_names)

    def _add(self, metric: Metric, values: Labels, child: Count) -> None:
        assert isinstance(metric, CounterMetricFamily)
        metric.add_metric(values, child.value)


class Distributions(Family[Distribution]):
    """A histogram.

    Args:
        bounds: upper ones of its buckets, ascending.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Labels = (),
        registry: CollectorRegistry = REGISTRY,
        bounds: Sequence[float] = SECONDS,
    ) -> None:
        self._bounds = bounds
        self._names = [*map(repr, bounds), "+Inf"]
        super().__init__(name, documentation, labels, registry)

    def _new(self) -> Distribution:
        return Distribution(self._bounds)

    def _metric(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)

    def _add(self, metric: Metric, values: Labels, child: Distribution) -> None:
        assert isinstance(metric, HistogramMetricFamily)
        # The sum first: what is counted meanwhile is in the buckets at least.
        total, below = child.total, 0
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for place, (name, count) in enumerate(zip(self._names, child.counts, strict=True)):
            below += count
            exemplar = child.exemplars.get(place)
            buckets.append((name, below) if exemplar is None else (name, below, exemplar))
        metric.add_metric(values, buckets, total)


class Levels(Collector):
    """A gauge whose values are asked for when they are read: nothing is counted before.

    Args:
        read: the labels' values and the number of each child; called in any thread.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Labels,
        read: Callable[[], Iterable[tuple[Labels, float]]],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.label_names = labels
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        metric = self._metric()
        for values, value in self._read():
            metric.add_metric(values, value)
        yield metric

    def describe(self) -> Iterator[Metric]:
        yield self._metric()

    def _metric(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.documentation, labels=self.label_names)


def listen_for_metrics(address: str) -> None:
    """Answer ``GET /metrics`` there, in a thread; nowhere where the address is empty.

    Raises:
        OSError, ValueError: the address is taken, or is none.
    """
    if address:
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host)

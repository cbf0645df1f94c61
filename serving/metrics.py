"""Prometheus metrics on KServe's ``/metrics``: ours, and KServe's own times of a model's stages.

The client library's counters take a lock and look through their labels every time; six of them are
a tenth of all the code that a request goes through. Here a request is counted in plain numbers,
which become metrics when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from kserve.metrics import POST_HIST_TIME, PRE_HIST_TIME, PREDICT_HIST_TIME
from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of a request's time."""

STAGE_SECONDS: tuple[float, ...] = Histogram.DEFAULT_BUCKETS[:-1]
"""Those of a stage's; KServe has the library's own, whose last has no bound."""

STAGES: Final = (
    ("request_preprocess_seconds", "pre-process request latency", PRE_HIST_TIME),
    ("request_predict_seconds", "predict request latency", PREDICT_HIST_TIME),
    ("request_postprocess_seconds", "post-process request latency", POST_HIST_TIME),
)
"""Name and help of KServe's histograms, and the histogram that is counted here in its place."""


class Durations:
    """A histogram of one combination of labels.

    Args:
        bounds: upper bounds of its buckets in seconds, ascending; one more has no bound.
    """

    __slots__ = ("bounds", "counts", "seconds")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds, as they are written, with how many took no longer."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        return list(zip(names, accumulate(map(float, self.counts)), strict=True))


class Tally(Collector):
    """What was answered, counted by the thread of the event loop alone."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str], int] = {}
        self._instances: dict[tuple[str, str], int] = {}
        self._durations: dict[tuple[str, str, str], Durations] = {}
        self._stages: dict[str, tuple[Durations, ...]] = {}

    def count_request(self, model: str, revision: str, protocol: str, code: str) -> None:
        """One request more, answered or refused."""
        labels = (model, revision, protocol, code)
        self._requests[labels] = self._requests.get(labels, 0) + 1

    def count_answer(
        self, model: str, revision: str, protocol: str, seconds: float, instances: int
    ) -> None:
        """The time and size of one that was answered."""
        labels = (model, revision, protocol)
        durations = self._durations.get(labels)
        if durations is None:
            durations = self._durations[labels] = Durations()
        durations.observe(seconds)
        served = (model, revision)
        self._instances[served] = self._instances.get(served, 0) + instances

    def stages(self, model: str) -> tuple[Durations, ...]:
        """Where a model's seconds of preprocessing, prediction and postprocessing are counted."""
        found = self._stages.get(model)
        if found is None:
            found = self._stages[model] = tuple(Durations(STAGE_SECONDS) for _ in STAGES)
        return found

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "vision_requests",
            "Requests answered, by model, revision that answered, protocol and HTTP or gRPC code.",
            labels=("model_name", "revision", "protocol", "code"),
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        seconds = HistogramMetricFamily(
            "vision_request_seconds",
            "Time from the first byte read to the answer, by model, revision and protocol.",
            labels=("model_name", "revision", "protocol"),
        )
        for answered, durations in self._durations.items():
            seconds.add_metric(answered, durations.buckets(), durations.seconds)
        instances = CounterMetricFamily(
            "vision_instances",
            "Instances answered, by model and revision.",
            labels=("model_name", "revision"),
        )
        for served, count in self._instances.items():
            instances.add_metric(served, count)
        yield from (requests, seconds, instances)
        for number, (name, text, _) in enumerate(STAGES):
            stage = HistogramMetricFamily(name, text, labels=("model_name",))
            for model, found in self._stages.items():
                stage.add_metric((model,), found[number].buckets(), found[number].seconds)
            yield stage


TALLY = Tally()
for _, _, replaced in STAGES:
    REGISTRY.unregister(replaced)
REGISTRY.register(TALLY)

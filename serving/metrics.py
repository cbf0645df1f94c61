"""Prometheus metrics on KServe's ``/metrics``, beside KServe's own times of a model's stages."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of a request's time."""


class Tally:
    """What was answered, by labels.

    The children of each combination are kept: to look one up takes longer than to count.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            "vision_requests",
            "Requests answered, by model, revision that answered, protocol and HTTP or gRPC code.",
            ("model_name", "revision", "protocol", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "vision_request_seconds",
            "Time from the first byte read to the answer, by model, revision and protocol.",
            ("model_name", "revision", "protocol"),
            buckets=SECONDS,
            registry=registry,
        )
        self._instances = Counter(
            "vision_instances",
            "Instances answered, by model and revision.",
            ("model_name", "revision"),
            registry=registry,
        )
        self._requests_by: dict[tuple[str, str, str, str], Counter] = {}
        self._answers_by: dict[tuple[str, str, str], tuple[Histogram, Counter]] = {}

    def count_request(self, model: str, revision: str, protocol: str, code: str) -> None:
        """One request more, answered or refused."""
        labels = (model, revision, protocol, code)
        child = self._requests_by.get(labels)
        if child is None:
            child = self._requests_by[labels] = self._requests.labels(*labels)
        child.inc()

    def count_answer(
        self, model: str, revision: str, protocol: str, seconds: float, instances: int
    ) -> None:
        """The time and size of one that was answered."""
        labels = (model, revision, protocol)
        children = self._answers_by.get(labels)
        if children is None:
            served = self._instances.labels(model, revision)
            children = self._answers_by[labels] = (self._seconds.labels(*labels), served)
        children[0].observe(seconds)
        children[1].inc(instances)


TALLY = Tally()

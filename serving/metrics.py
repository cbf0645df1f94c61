"""Prometheus metrics beside KServe's own histograms, on the same ``/metrics``."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Histogram

LABELS = ("model_name", "revision", "protocol", "code")

REQUESTS = Counter(
    "vision_requests",
    "Requests answered, by model, revision that answered, protocol and HTTP or gRPC code.",
    LABELS,
)
SECONDS = Histogram(
    "vision_request_seconds",
    "Time from the first byte read to the answer, by model, revision and protocol.",
    ("model_name", "revision", "protocol"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
INSTANCES = Counter(
    "vision_instances", "Instances answered, by model and revision.", ("model_name", "revision")
)


# Looking a child up by its labels takes longer than counting; there are a few dozen of them.
_requests = lru_cache(maxsize=1024)(REQUESTS.labels)
_seconds = lru_cache(maxsize=1024)(SECONDS.labels)
_instances = lru_cache(maxsize=1024)(INSTANCES.labels)


def count_request(model: str, revision: str, protocol: str, code: str) -> None:
    """One request more, answered or refused."""
    _requests(model, revision, protocol, code).inc()


def count_answer(model: str, revision: str, protocol: str, seconds: float, instances: int) -> None:
    """The time and size of one that was answered."""
    _seconds(model, revision, protocol).observe(seconds)
    _instances(model, revision).inc(instances)

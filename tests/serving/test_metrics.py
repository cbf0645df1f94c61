from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from kserve.metrics import EXPLAIN_HIST_TIME, PREDICT_HIST_TIME
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from serving.metrics import SECONDS, STAGE_SECONDS, TALLY, Durations, Tally


def exposed(collectors: Iterable[Collector]) -> list[str]:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    # When a series began is the one thing that the library's own say beside the counts.
    return sorted(line for line in generate_latest(registry).decode().splitlines() if line)


@pytest.fixture(autouse=True)
def without_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prometheus_client.metrics._use_created", False)


def test_the_same_is_exposed_as_by_the_librarys_own() -> None:
    tally = Tally()
    labels = ("model_name", "revision", "protocol")
    requests = Counter(
        "vision_requests",
        "Requests answered, by model, revision that answered, protocol and HTTP or gRPC code.",
        (*labels, "code"),
        registry=None,
    )
    seconds = Histogram(
        "vision_request_seconds",
        "Time from the first byte read to the answer, by model, revision and protocol.",
        labels,
        registry=None,
        buckets=SECONDS,
    )
    instances = Counter(
        "vision_instances",
        "Instances answered, by model and revision.",
        labels[:2],
        registry=None,
    )
    stages = [
        Histogram(f"request_{stage}_seconds", f"{text} request latency", labels[:1], registry=None)
        for stage, text in (
            ("preprocess", "pre-process"),
            ("predict", "predict"),
            ("postprocess", "post-process"),
        )
    ]
    chance = random.Random(0)
    times = [*SECONDS, *STAGE_SECONDS, 0.0, 100.0, *(chance.expovariate(20) for _ in range(200))]
    for time in times:
        model, revision = chance.choice(("a", 'b"\\')), chance.choice("12")
        tally.count_request(model, revision, "v1", "200")
        requests.labels(model, revision, "v1", "200").inc()
        tally.count_answer(model, revision, "v1", time, 3)
        seconds.labels(model, revision, "v1").observe(time)
        instances.labels(model, revision).inc(3)
        for ours, theirs in zip(tally.stages(model), stages, strict=True):
            ours.observe(time)
            theirs.labels(model).observe(time)
    tally.count_request("a", "", "grpc", "INTERNAL")
    requests.labels("a", "", "grpc", "INTERNAL").inc()
    assert exposed([tally]) == exposed([requests, seconds, instances, *stages])


def test_a_bucket_holds_its_bound() -> None:
    durations = Durations((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 2.5):
        durations.observe(seconds)
    assert durations.buckets() == [("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)]
    assert durations.seconds == 7.5


def test_it_is_what_the_server_exposes() -> None:
    known = REGISTRY._collector_to_names
    assert TALLY in known and EXPLAIN_HIST_TIME in known
    assert PREDICT_HIST_TIME not in known
    TALLY.count_request("exposed", "1", "v1", "200")
    line = 'total{code="200",model_name="exposed",protocol="v1",revision="1"} 1.0'
    for text in (generate_latest(REGISTRY), generate_openmetrics(REGISTRY)):
        assert line in text.decode()

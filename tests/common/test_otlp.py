from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from benchmarks.otlp_receiver import receiver
from common.metrics import Counts, Distributions, Levels
from common.otlp import MetricPush, is_switched_on, resource, to_otlp, warn_of_grpc
from common.zeros import Zeros

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "traces", "metrics"),
    [
        ({}, False, False),
        ({ENDPOINT: "http://c:4318"}, True, False),
        ({ENDPOINT: "http://c:4318", "OTEL_METRICS_EXPORTER": "otlp"}, True, True),
        ({ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, False, True),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, False, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, False, True),
        ({ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "True"}, False, False),
    ],
)
def test_what_the_standard_variables_switch_on(
    environment: dict[str, str], traces: bool, metrics: bool
) -> None:
    assert is_switched_on("traces", environment) is traces
    assert is_switched_on("metrics", environment) is metrics


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({ENDPOINT: "http://otel-collector:4317"}, 1),
        ({ENDPOINT: "http://otel-collector:4318"}, 0),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", ENDPOINT: "http://c:1"}, 1),
    ],
)
def test_a_collectors_port_for_grpc_is_told(
    environment: dict[str, str], lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_grpc("traces", environment)
    assert len(caplog.records) == lines
    assert all(r.levelno == logging.WARNING and "4318" in r.message for r in caplog.records)


def test_an_instance_is_a_process_and_variables_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = resource("vision-transformer").attributes
    assert plain["service.name"] == "vision-transformer"
    assert plain["service.instance.id"] == resource("other").attributes["service.instance.id"]
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-1,team=a")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    named = resource("vision-transformer").attributes
    assert (named["service.name"], named["service.instance.id"]) == ("mine", "pod-1")
    assert named["team"] == "a"
    own = resource("vision-transformer")
    assert hash(own) == hash(Resource(own.attributes, own.schema_url))


def test_what_a_registry_has_becomes_cumulative_points() -> None:
    registry = CollectorRegistry()
    Counts("c", "Some.", ("m",), registry).labels("a").add(3)
    child = Distributions("d_seconds", "Some.", (), registry, bounds=(1.0, 2.0)).labels()
    for value in (0.5, 1.5, 1.6, 9.0):
        child.observe(value)
    Levels("g", "Some.", (), lambda: [((), 4.0)], registry)
    Counts("never", "Some.", ("m",), registry)
    found = {metric.name: metric for metric in to_otlp(registry, 1, {"component": "x"})}
    assert set(found) == {"c", "d_seconds", "g"}
    counter, histogram = found["c"].data, found["d_seconds"].data
    assert isinstance(counter, export.Sum)
    assert counter.is_monotonic
    assert counter.aggregation_temporality is export.AggregationTemporality.CUMULATIVE
    assert [(p.value, p.attributes) for p in counter.data_points] == [
        (3, {"m": "a", "component": "x"})
    ]
    assert isinstance(histogram, export.Histogram)
    (times,) = histogram.data_points
    assert (list(times.bucket_counts), list(times.explicit_bounds)) == ([1, 2, 1], [1.0, 2.0])
    assert (times.count, times.sum) == (4, 12.6)
    assert math.isinf(times.min)
    assert found["d_seconds"].unit == "s"
    assert isinstance(found["g"].data, export.Gauge)


def test_what_is_new_comes_after_the_zero_that_it_was_the_last_time() -> None:
    registry = CollectorRegistry()
    counter = Counts("c", "Some.", ("m",), registry)
    counter.labels("a").add(3)
    Distributions("d", "Some.", (), registry, bounds=(1.0,)).labels().observe(0.5)
    Levels("g", "Some.", (), lambda: [((), 4.0)], registry)
    zeros = Zeros(started_ns=10)

    def pushed(at: int, arrives: bool = True) -> list[Any]:
        metrics = to_otlp(registry, at)
        found = [
            (
                point.time_unix_nano,
                *(point.attributes or {}).values(),
                getattr(point, "value", None) or getattr(point, "count", 0),
            )
            for metric in zeros.added(metrics)
            for point in metric.data.data_points
        ]
        if arrives:
            zeros.arrived(metrics, at)
        return found

    first = [(10, "a", 0), (20, "a", 3), (10, 0), (20, 1), (20, 4)]
    assert pushed(20, arrives=False) == first
    assert pushed(20) == first
    counter.labels("b").add(1)
    assert pushed(30) == [(30, "a", 3), (20, "b", 0), (30, "b", 1), (30, 1), (30, 4)]


def test_it_is_pushed_by_interval_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    child = Counts("c", "Some.", (), registry).labels()
    with receiver() as (url, received):
        monkeypatch.setenv(ENDPOINT, url)
        push = MetricPush("x", {"OTEL_METRIC_EXPORT_INTERVAL": "100"}, registry)
        child.add(1)
        with received.changed:
            assert received.changed.wait_for(lambda: received.total("x", "c") == 1, 20)
        child.add(1)
        push.stop()
        assert received.total("x", "c") == 2


def test_a_receiver_that_is_not_there_is_told_and_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    Counts("c", "Some.", (), registry).labels().add(1)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    MetricPush("x", {}, registry).stop()
    assert any("could not be sent" in record.message for record in caplog.records)

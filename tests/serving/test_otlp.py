"""What a server sends to an OTLP receiver, by OpenTelemetry's own variables."""

from __future__ import annotations

from pathlib import Path

from benchmarks.otlp_receiver import receiver
from common.ports import free_row
from tests.serving.test_flags import ONE, PREDICT, serving

GENERATIONS = (7, 13, 5)
"""Requests of each server, until it is told to end."""

ROUTE = "/v1/models/{model}:predict"


def test_no_count_is_lost_when_servers_go(tmp_path: Path) -> None:
    """As when pods go to zero: each is a process of its own, and nobody scrapes them."""
    with receiver() as (url, received):
        switched_on = {
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_TRACES_EXPORTER": "none",
            # Too long to be what is seen here.
            "OTEL_METRIC_EXPORT_INTERVAL": "600000",
            "OTEL_SERVICE_NAME": "sums",
        }
        (port,) = free_row(1)
        for generation, count in enumerate(GENERATIONS):
            log = tmp_path / f"{generation}.log"
            with serving(log, [f"--http_port={port}"], port, more=switched_on) as client:
                for _ in range(count):
                    assert client.post(PREDICT, json=ONE).status_code == 200
                assert client.post(PREDICT, json={"instances": ["x"]}).status_code == 422
    counted = {"model_name": "sum", "route": ROUTE}
    assert len(received.instances("sums")) == len(GENERATIONS)
    assert received.total("sums", "vision_requests", **counted, code="200") == sum(GENERATIONS)
    assert received.total("sums", "vision_requests", **counted, code="422") == len(GENERATIONS)
    assert received.total("sums", "vision_instances") == 2 * sum(GENERATIONS)
    assert received.spans == []

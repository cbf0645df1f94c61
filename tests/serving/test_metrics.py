from __future__ import annotations

from kserve.metrics import PREDICT_HIST_TIME
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from serving.metrics import TALLY, Tally


def test_requests_answers_and_instances_are_counted_by_their_labels() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    for _ in range(3):
        tally.count_request("m", "1", "v1", "200")
        tally.count_answer("m", "1", "v1", 0.004, 5)
    tally.count_request("m", "", "grpc", "INTERNAL")
    tally.count_request("n", "1", "v1", "200")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    of_m = {"model_name": "m", "revision": "1", "protocol": "v1"}
    assert value("vision_requests_total", **of_m, code="200") == 3
    assert (
        value(
            "vision_requests_total", model_name="m", revision="", protocol="grpc", code="INTERNAL"
        )
        == 1
    )
    assert value("vision_request_seconds_count", **of_m) == 3
    assert value("vision_request_seconds_bucket", **of_m, le="0.0025") == 0
    assert value("vision_request_seconds_bucket", **of_m, le="0.005") == 3
    assert value("vision_instances_total", model_name="m", revision="1") == 15


def test_they_are_beside_kserves_own() -> None:
    TALLY.count_request("exposed", "1", "v1", "200")
    PREDICT_HIST_TIME.labels("exposed").observe(1)
    text = generate_latest(REGISTRY).decode()
    assert (
        'vision_requests_total{code="200",model_name="exposed",protocol="v1",revision="1"} 1.0'
        in text
    )
    assert 'request_predict_seconds_count{model_name="exposed"} 1.0' in text

from __future__ import annotations

from kserve.metrics import PREDICT_HIST_TIME
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from serving.metrics import MAX_REASONS, OTHER, TALLY, BatchTally, Sizes, Tally
from serving.scheduling.admission import Admission

ROUTE = "/v1/models/{model}:predict"


def test_what_is_answered_is_counted_by_its_labels() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    for _ in range(3):
        tally.count_answer("m", "1", "v1", ROUTE, "200", 0.004, Sizes(5, 1000, 70, 784))
    tally.count_answer("m", "1", "grpc", "ModelInfer", "OK", 0.1, Sizes(1, 10, 10))
    tally.count_failure("m", "grpc", "ModelInfer", "INTERNAL", "internal")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    of_m = {"model_name": "m", "revision": "1"}
    v1 = {**of_m, "protocol": "v1", "route": ROUTE}
    failed = {"model_name": "m", "revision": "", "protocol": "grpc", "route": "ModelInfer"}
    assert value("vision_requests_total", **v1, code="200") == 3
    assert value("vision_requests_total", **failed, code="INTERNAL") == 1
    assert value("vision_rejections_total", model_name="m", reason="internal") == 1
    assert value("vision_request_seconds_count", **v1) == 3
    assert value("vision_request_seconds_bucket", **v1, le="0.0025") == 0
    assert value("vision_request_seconds_bucket", **v1, le="0.004") == 3
    assert value("vision_instances_total", **of_m) == 16
    assert value("vision_request_size_bytes_sum", **of_m) == 3010
    assert value("vision_response_size_bytes_sum", **of_m) == 220
    # Calls with tensors have no pixels, which are not pictures of none.
    assert value("vision_request_pixels_count", **of_m) == 3


def test_what_a_predictor_says_makes_a_bounded_number_of_labels() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    for number in range(MAX_REASONS + 10):
        tally.count_failure("m", "v1", ROUTE, "502", f"made_up_{number}")
    tally.count_failure("m", "v1", ROUTE, "502", "made_up_0")
    found = [family for family in registry.collect() if family.name == "vision_rejections"]
    assert len(found[0].samples) == MAX_REASONS + 1
    reasons = {sample.labels["reason"]: sample.value for sample in found[0].samples}
    assert reasons[OTHER] == 10
    assert reasons["made_up_0"] == 2


def test_what_is_in_progress_is_read_when_it_is_asked_for() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry)
    admission = Admission(max_requests=64, max_bytes=1000, wait_seconds=1)
    tally.watch(admission)
    assert registry.get_sample_value("vision_requests_in_progress") == 0
    admission.enter(500)
    assert registry.get_sample_value("vision_requests_in_progress") == 1
    assert registry.get_sample_value("vision_request_bytes_in_progress") == 500
    assert registry.get_sample_value("vision_requests_in_progress_limit") == 64
    del admission
    assert registry.get_sample_value("vision_requests_in_progress") == 0


def test_a_batch_is_counted_with_how_long_each_of_its_requests_waited() -> None:
    registry = CollectorRegistry()
    waiting = [1, 2]
    meter = BatchTally(registry).of("m", lambda: len(waiting))
    meter.observe([0.0, 0.003], 9)
    labels = {"model_name": "m"}
    assert registry.get_sample_value("vision_queue_seconds_count", labels) == 2
    assert registry.get_sample_value("vision_queue_seconds_sum", labels) == 0.003
    assert registry.get_sample_value("vision_batch_requests_bucket", {**labels, "le": "2.0"}) == 1
    assert registry.get_sample_value("vision_batch_instances_sum", labels) == 9
    assert registry.get_sample_value("vision_queue_requests", labels) == 2


def test_they_are_beside_kserves_own() -> None:
    TALLY.count_other("exposed", "200")
    PREDICT_HIST_TIME.labels("exposed").observe(1)
    text = generate_latest(REGISTRY).decode()
    assert 'vision_requests_total{code="200",model_name="",' in text
    assert 'request_predict_seconds_count{model_name="exposed"} 1.0' in text

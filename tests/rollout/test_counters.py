"""The predictor's counters: read per pod, through restarts and goings."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.kubernetes import Cluster, KubernetesError
from rollout.counters import MISMATCH, REFUSED, REJECTIONS, REQUESTS, Counters, parse
from serving.errors import ContractMismatchError
from serving.metrics import Sizes, Tally
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import NAMESPACE, FakeCluster

R1 = "vision-predictor-00001"


def text(ok: int, failed: int = 0, slow: int = 0, refused: int = 0, offers: int = 0) -> str:
    labels = 'model_name="m",protocol="v2"'
    return f"""
vision_requests_total{{{labels},revision="1",code="200"}} {ok}
vision_requests_total{{{labels},revision="",code="500"}} {failed}
vision_requests_total{{{labels},revision="",code="400"}} {refused}
vision_rejections_total{{model_name="m",reason="contract_mismatch"}} {offers}
vision_rejections_total{{model_name="other",reason="contract_mismatch"}} 99
vision_request_seconds_bucket{{{labels},revision="1",le="0.1"}} {ok - slow}
vision_request_seconds_bucket{{{labels},revision="1",le="1.0"}} {ok}
vision_request_seconds_bucket{{{labels},revision="1",le="+Inf"}} {ok}
vision_requests_total{{model_name="other",protocol="v2",revision="1",code="200"}} 99
vision_requests_total{{model_name="m",protocol="v1",revision="1",code="200"}} 99
"""


@pytest.fixture
def counters(shell: Shell) -> Counters:
    return Counters(Cluster(shell.api, NAMESPACE), "m", [R1])


def test_only_what_came_since_the_start_counts(fake: FakeCluster, counters: Counters) -> None:
    fake.metrics[R1] = text(100, 5)
    counters.start()
    fake.metrics[R1] = text(130, 6, slow=3)
    counters.read()
    calls = counters.calls[R1]
    assert (calls.total, calls.failed) == (31, 1)
    assert calls.seconds.counts == {0.1: 27, 1.0: 3, float("inf"): 0}
    counters.read()
    assert calls.total == 31


def test_a_newer_contract_that_an_older_revision_refuses_is_no_call(
    fake: FakeCluster, counters: Counters
) -> None:
    fake.metrics[R1] = text(100, refused=10, offers=7)
    counters.start()
    fake.metrics[R1] = text(130, failed=1, refused=16, offers=12)
    counters.read()
    calls = counters.calls[R1]
    assert (calls.total, calls.failed) == (32, 2)


def test_a_restart_begins_at_nought(fake: FakeCluster, counters: Counters) -> None:
    fake.metrics[R1] = text(100)
    counters.start()
    fake.metrics[R1] = text(110)
    counters.read()
    fake.metrics[R1] = text(4)
    counters.read()
    assert counters.calls[R1].total == 14


def test_what_a_pod_counted_stays_when_it_goes(fake: FakeCluster, counters: Counters) -> None:
    fake.metrics[R1] = text(0)
    counters.start()
    fake.metrics[R1] = text(10)
    counters.read()
    fake.scale_to_zero(R1)
    counters.read()
    assert counters.calls[R1].total == 10


def test_counters_that_cannot_be_read_at_the_start_are_told(
    fake: FakeCluster, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "_proxy", lambda *_: (503, {"message": "no route to the pod"}))
    with pytest.raises(KubernetesError, match="no route to the pod"):
        counters.start()


def test_the_servers_own_metrics_are_read() -> None:
    """Names and labels as `serving.metrics` has them."""
    registry = CollectorRegistry()
    tally = Tally(registry)
    route = "/v2/models/{model}/infer"
    for _ in range(3):
        tally.count_answer("counted", "1", "v2", route, "200", 0.02, Sizes(1, 100, 100))
    tally.count_failure("counted", "v2", route, "500", "internal")
    mismatch = ContractMismatchError("another contract")
    tally.count_failure("counted", "v2", route, str(mismatch.status), mismatch.reason)
    found = parse(generate_latest(registry).decode(), "counted")
    assert found[REQUESTS, "200"] == 3
    assert found[REQUESTS, "500"] == 1
    assert found[REQUESTS, REFUSED] == found[REJECTIONS, MISMATCH] == 1
    assert sum(value for (name, _), value in found.items() if "bucket" in name) > 0

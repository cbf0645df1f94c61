"""A trace from the transformer through a shared batch to the forward pass, by real servers."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.otlp_receiver import Received, ReceivedSpan, receiver
from local.service import LocalService
from tests.conftest import ROOT
from tests.end_to_end.conftest import Response, call, start

REQUESTS = 6
PICTURE = (ROOT / "samples" / "three.jpg").read_bytes()


def ask(service: LocalService, trace: str) -> Response:
    headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    return call(f"{service.url}/v1/models/mnist:predict", PICTURE, "image/jpeg", headers=headers)


def ask_together(service: LocalService, received: Received) -> list[str]:
    """Traces of requests at the same time, two of which at least shared a batch."""
    for _ in range(50):
        traces = [secrets.token_hex(16) for _ in range(REQUESTS)]
        with ThreadPoolExecutor(REQUESTS) as threads:
            answers = list(threads.map(lambda trace: ask(service, trace), traces))
        assert [answer.status for answer in answers] == [200] * REQUESTS
        assert [answer.headers["traceparent"].split("-")[1] for answer in answers] == traces

        def shared(traces: list[str] = traces) -> bool:
            return any(s.name == "shared batch" and s.trace in traces for s in received.spans)

        with received.changed:
            if received.changed.wait_for(shared, 2):
                return traces
    raise AssertionError("no two requests shared a batch")


def tree_of(spans: Sequence[ReceivedSpan]) -> dict[str, Counter[str]]:
    """Names of spans by the name of what they are a part of; empty for roots."""
    names = {item.span: item.name for item in spans}
    found: dict[str, Counter[str]] = {}
    for item in spans:
        found.setdefault(names.get(item.parent, ""), Counter())[item.name] += 1
    return found


def test_a_trace_goes_through_both_servers_and_names_who_shared_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with start(tmp_path, {"mnist": "2"}) as service:
            ask_together(service, received)
    batches = [s for s in received.spans if s.name == "batch" and len(s.links) > 1]
    batch = max(batches, key=lambda span: len(span.links))
    trace = [span for span in received.spans if span.trace == batch.trace]
    route, hop = "POST /v1/models/{model}:predict", "POST /v2/models/{model}/infer"
    tree = tree_of(trace)
    assert tree[route] == {"decode": 1, "queue": 1, "batch": 1}
    assert tree["batch"] == {"hop": 1}
    assert tree["hop"] == {hop: 1}
    assert tree[hop] == {"queue": 1, "forward pass": 1}
    services = {span.name: span.service for span in trace}
    assert (services[route], services[hop]) == ("vision-transformer", "vision-predictor")
    # Every request that shared the batch is linked, and has a span that says so.
    requests = {(span.trace, span.span) for span in received.spans if span.name == route}
    assert set(batch.links) <= requests
    assert batch.attributes["vision.requests"] == len(batch.links)
    others = {trace for trace, _ in batch.links} - {batch.trace}
    sharing = [s for s in received.spans if s.name == "shared batch" and s.trace in others]
    assert {s.trace for s in sharing} == others
    assert {link for s in sharing for link in s.links} == {(batch.trace, batch.span)}
    # A part lies within what it is a part of, as far as two clocks' readings agree.
    by_id = {span.span: span for span in trace}
    for span in trace:
        if (whole := by_id.get(span.parent)) is not None:
            assert span.start_ns >= whole.start_ns - 1_000_000, span.name
            assert span.end_ns <= whole.end_ns + 1_000_000, span.name
    # What both servers counted has come as well, when they ended.
    sent = len([span for span in received.spans if span.name == route])
    total = received.total("vision-transformer", "vision_requests", code="200", protocol="v1")
    assert total >= sent >= REQUESTS
    assert received.total("vision-predictor", "vision_instances", model_name="mnist") >= REQUESTS

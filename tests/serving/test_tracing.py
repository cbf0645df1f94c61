"""Spans as the edge and a model make them, kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Tracer
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)

from serving.edge import Edge
from serving.errors import BadPredictorAnswerError
from serving.settings import ServerSettings
from serving.tracing import CURRENT, TRACING, Tracing
from tests.serving.fake import SumModel, client_of, repository
from tests.serving.test_edge import ONE, URL, inner

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RECORDED, LEFT_OUT = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Kept(InMemorySpanExporter):
    """The spans of a test, and how the global tracing is switched on."""

    def start(self, sampler: Sampler = ALWAYS_ON) -> None:
        TRACING.use(SimpleSpanProcessor(self), ParentBased(sampler))

    def spans(self) -> list[ReadableSpan]:
        return list(self.get_finished_spans())


@pytest.fixture
def kept() -> Iterator[Kept]:
    found = Kept()
    yield found
    TRACING.stop()
    CURRENT.set(None)


async def post(model: SumModel, **headers: str) -> Any:
    settings = ServerSettings.model_validate({"access_log": True})
    async with client_of(Edge(inner, repository(model), settings)) as client:
        return await client.post(URL, json=ONE, headers=headers)


async def test_off_nothing_is_made_and_the_callers_header_goes_on(kept: Kept) -> None:
    model = SumModel()
    response = await post(model, traceparent=RECORDED)
    assert "traceparent" not in response.headers
    assert model.headers[0]["traceparent"] == RECORDED
    assert CURRENT.get() is None


async def test_a_request_is_a_part_of_its_callers_trace(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving.http")
    kept.start(ALWAYS_OFF)
    model = SumModel()
    response = await post(model, **{"traceparent": RECORDED, "x-request-id": "mine"})
    (span,) = kept.spans()
    assert span.name == "POST /v1/models/{model}:predict"
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    assert parent is not None
    assert (f"{context.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, PARENT)
    own = f"00-{TRACE}-{context.span_id:016x}-01"
    # What is asked of others is a part of this span, and the answer names it.
    assert model.headers[0]["traceparent"] == own
    assert response.headers["traceparent"] == own
    assert span.attributes is not None
    assert span.attributes["vision.request_id"] == response.headers["x-request-id"] == "mine"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["vision.revision"] == "3"
    assert [vars(r)["trace_id"] for r in caplog.records] == [TRACE]


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
async def test_what_a_caller_leaves_out_is_left_out(kept: Kept, sampler: Sampler) -> None:
    kept.start(sampler)
    model = SumModel()
    response = await post(model, traceparent=LEFT_OUT)
    assert kept.spans() == []
    assert model.headers[0]["traceparent"] == LEFT_OUT
    assert "traceparent" not in response.headers


async def test_one_that_is_not_sampled_says_so_to_whom_it_asks(kept: Kept) -> None:
    kept.start(ALWAYS_OFF)
    model = SumModel()
    await post(model)
    assert kept.spans() == []
    # The last bit of the flags: recorded. The one before it: the identity is random.
    assert int(model.headers[0]["traceparent"][-2:], 16) & 1 == 0


class Asked(Sampler):
    """Says no, or yes, and keeps the identities of the traces that it was asked for."""

    def __init__(self, answer: Decision) -> None:
        self.answer = answer
        self.traces: list[int] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, *_: Any, **__: Any
    ) -> SamplingResult:
        self.traces.append(trace_id)
        return SamplingResult(self.answer)

    def get_description(self) -> str:
        return "asked"


async def test_of_one_that_is_not_sampled_no_span_is_made(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a span")

    sampler = Asked(Decision.DROP)
    kept.start(sampler)
    monkeypatch.setattr(Tracer, "start_span", refuse)
    model = SumModel()
    response = await post(model, tracestate="stale=1")
    assert response.status_code == 200
    (asked,) = sampler.traces
    _, trace_id, span_id, flags = model.headers[0]["traceparent"].split("-")
    assert (trace_id, flags) == (f"{asked:032x}", "00")
    assert int(span_id, 16)
    assert "tracestate" not in model.headers[0]


async def test_one_that_is_sampled_has_the_identity_it_was_chosen_by(kept: Kept) -> None:
    sampler = Asked(Decision.RECORD_AND_SAMPLE)
    kept.start(sampler)
    for _ in range(2):
        await post(SumModel())
    made = [span.get_span_context() for span in kept.spans()]
    assert len({context.trace_id for context in made if context}) == 2
    assert {context.trace_id for context in made if context} == set(sampler.traces)


async def test_a_failure_says_why(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.start()
    model = SumModel()
    model.fault = BadPredictorAnswerError("odd")
    response = await post(model)
    (span,) = kept.spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "bad_predictor_answer"
    assert span.attributes["http.response.status_code"] == 502
    assert not span.status.is_ok
    (line,) = [r for r in caplog.records if r.name == "serving.http" and r.levelno > logging.INFO]
    assert vars(line)["trace_id"] == response.headers["traceparent"].split("-")[1]


def test_the_sdk_is_not_asked_for_where_nothing_switches_it_on() -> None:
    tracing = Tracing()
    tracing.start("x", {})
    assert not tracing.is_on
    assert tracing.begin("x", {}, dict) is None
    tracing.stop()

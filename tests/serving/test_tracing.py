"""Spans as the edge and a model make them, kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
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
from opentelemetry.trace import SpanKind, get_current_span

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
    """Says no, or yes, and keeps what it was asked for: traces, and what they are a part of."""

    def __init__(self, answer: Decision) -> None:
        self.answer = answer
        self.traces: list[int] = []
        self.parents: list[int] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, *_: Any, **__: Any
    ) -> SamplingResult:
        self.traces.append(trace_id)
        self.parents.append(get_current_span(parent_context).get_span_context().span_id)
        return SamplingResult(self.answer, {"sampler": "asked"})

    def get_description(self) -> str:
        return "asked"


async def test_of_one_that_is_not_sampled_no_span_is_made(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a span")

    sampler = Asked(Decision.DROP)
    kept.start(sampler)
    monkeypatch.setattr("serving.tracing.Span", refuse)
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


@pytest.mark.parametrize("answer", [Decision.RECORD_AND_SAMPLE, Decision.DROP])
async def test_a_sampler_that_follows_nobody_is_asked_about_every_request(
    kept: Kept, answer: Decision
) -> None:
    sampler = Asked(answer)
    TRACING.use(SimpleSpanProcessor(kept), sampler, follows_parent=False)
    model = SumModel()
    callers = {"traceparent": LEFT_OUT, "tracestate": "ours=1"}
    await post(model, **callers)
    assert (sampler.traces, sampler.parents) == ([int(TRACE, 16)], [int(PARENT, 16)])
    _, trace_id, span_id, flags = model.headers[0]["traceparent"].split("-")
    assert (trace_id, int(flags, 16) & 1) == (TRACE, int(answer is not Decision.DROP))
    assert span_id != PARENT
    for span in kept.spans():
        assert span.attributes is not None
        assert (span.attributes["sampler"], span.attributes["vision.model"]) == ("asked", "sum")
    assert len(kept.spans()) == int(answer is not Decision.DROP)


async def test_what_others_say_of_a_trace_goes_on_with_it(kept: Kept) -> None:
    kept.start()
    model = SumModel()
    response = await post(model, traceparent=RECORDED, tracestate="theirs=1,ours=2")
    (span,) = kept.spans()
    assert span.get_span_context().trace_state.to_header() == "theirs=1,ours=2"  # type: ignore[union-attr]
    assert model.headers[0]["tracestate"] == response.headers["tracestate"] == "theirs=1,ours=2"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (RECORDED, (int(TRACE, 16), int(PARENT, 16), 1)),
        (f"cc-{TRACE}-{PARENT}-03-more", (int(TRACE, 16), int(PARENT, 16), 3)),
        (f" {LEFT_OUT}\t", (int(TRACE, 16), int(PARENT, 16), 0)),
        (f"{RECORDED}-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("", None),
    ],
)
def test_a_callers_trace_is_read_as_w3c_writes_it(
    kept: Kept, named: str, found: tuple[int, int, int] | None
) -> None:
    sampler = Asked(Decision.RECORD_AND_SAMPLE)
    TRACING.use(SimpleSpanProcessor(kept), sampler, follows_parent=False)
    span = TRACING.begin("request", {"traceparent": named}, dict)
    assert span is not None
    parent = span.parent
    assert (parent and (parent.trace_id, parent.span_id, int(parent.trace_flags))) == found


def test_a_caller_that_records_nothing_is_followed_however_it_is_spaced(kept: Kept) -> None:
    kept.start()
    assert TRACING.begin("request", {"traceparent": f" {LEFT_OUT}\t"}, dict) is None


async def test_whoever_names_no_trace_begins_one(kept: Kept) -> None:
    kept.start()
    await post(SumModel(), traceparent="00-no-trace-01", tracestate="stale=1")
    (span,) = kept.spans()
    context = span.get_span_context()
    assert context is not None
    assert span.parent is None
    assert not context.trace_state
    assert (context.trace_flags.sampled, context.trace_flags.random_trace_id) == (True, True)


def test_stages_are_parts_with_times_and_links(kept: Kept) -> None:
    kept.start()
    one, other = (TRACING.begin("request", {}, dict) for _ in range(2))
    assert one is not None
    assert other is not None
    call = TRACING.open("call", one, {"model": "m"}, [one, other], is_call=True)
    TRACING.record("decode", call, 0.25, {"pixels": 784}, ago_seconds=1.0)
    TRACING.end(call, {"code": 1}, failed=True)
    decode, ended = kept.spans()
    assert decode.start_time is not None
    assert decode.end_time is not None
    assert decode.end_time - decode.start_time == 250_000_000
    assert decode.parent == ended.get_span_context() == call.context
    assert ended.parent == one.context
    assert [link.context for link in ended.links] == [one.context, other.context]
    assert dict(ended.attributes or {}) == {"model": "m", "code": 1}
    assert (ended.kind, decode.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert (ended.status.is_ok, decode.status.is_ok) == (False, True)
    TRACING.stop()
    TRACING.end(one, {})
    assert len(kept.spans()) == 2, "nobody waits for what ends after all has been sent"


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

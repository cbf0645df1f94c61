"""What traces cost a request: ``python -m benchmarks.tracing``.

Does what both servers do for the traces of one request that is alone in its batch, spans encoded as
they are sent, and prints the processor's microseconds: of a request that is not recorded, of one
that is, and of the share that is asked for. The best of several rounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from benchmarks.metrics import microseconds
from common.otlp import resource
from serving.spans import TRACEPARENT, Span
from serving.tracing import CURRENT, REQUEST_ID_KEY, TRACING
from transformer.pictures.traced_batch import TracedBatch

ROUTE = "/v1/models/{model}:predict"
HOP_ROUTE = "/v2/models/{model}/infer"
STATUS, REVISION = "http.response.status_code", "vision.revision"
SIZE = {"vision.requests": 1, "vision.instances": 1}
MOST_SPANS = 1 << 17
"""That wait to be encoded: in a round none is to be thrown away."""


class Encoded(SpanExporter):
    """Does what sending does, but for the sending."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


class Call(NamedTuple):
    """What a batch knows of a request."""

    span: Span | None
    arrived: float = 0.0


def begun(method: str, route: str, headers: dict[str, str]) -> Span | None:
    """As an edge begins a request's span."""
    return TRACING.begin(
        f"{method} {route}",
        headers,
        lambda: {
            "http.request.method": method,
            "http.route": route,
            "vision.model": "mnist",
            REQUEST_ID_KEY: "1f0e1a5c-0000-4000-8000-000000000000",
        },
    )


def request() -> None:
    """Everything that is done for the traces of one."""
    headers: dict[str, str] = {}
    span = begun("POST", ROUTE, headers)
    if span is not None:
        TRACING.record("decode", span, 0.0001, {"vision.instances": 1, "vision.pixels": 784})
    batch = TracedBatch([Call(span)], 1)
    parent = CURRENT.get()
    hop = None
    sent = {TRACEPARENT: headers[TRACEPARENT]}
    if parent is not None:
        hop = TRACING.open("hop", parent, {"vision.model": "mnist"}, is_call=True)
        TRACING.name_in(sent, hop)
    theirs = begun("POST", HOP_ROUTE, sent)
    if theirs is not None:
        TRACING.record("queue", theirs, 0.0001)
        TRACING.record("forward pass", theirs, 0.0001, SIZE)
        TRACING.end(theirs, {STATUS: 200, REVISION: "2"})
    if hop is not None:
        TRACING.end(hop, {REVISION: "2"})
    batch.end()
    if span is not None:
        TRACING.end(span, {STATUS: 200, REVISION: "2"})


def cost(share: float, count: int, rounds: int) -> float:
    """Microseconds a request with that share recorded, encoding included."""
    processor = BatchSpanProcessor(Encoded(), max_queue_size=MOST_SPANS)
    TRACING.use(processor, ParentBasedTraceIdRatio(share), resource("vision-transformer"))

    def many() -> None:
        for _ in range(count):
            request()
        # Or a round would leave what it recorded to the next one.
        processor.force_flush()

    try:
        return microseconds(many, 1, rounds) / count
    finally:
        TRACING.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument("--share", type=float, default=0.05, help="of requests, recorded (0.05)")
    parser.add_argument("--count", type=int, default=3000, help="requests a round")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    print("| recorded | µs a request, both servers |\n| --- | --- |")
    for share in (0.0, options.share, 1.0):
        count = options.count if share < 1 else options.count // 4
        print(f"| {share:.0%} | {cost(share, count, options.rounds):.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

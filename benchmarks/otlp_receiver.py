"""A small OTLP/HTTP receiver: keeps the spans and the newest value of every counter it is sent.

Its ``/metrics`` has the counters, each with the ``job`` and ``instance`` that sent it: what a
collector shows to a Prometheus that takes no OTLP itself.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from common.ports import LOCAL_HOST

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReceivedSpan:
    """Times are nanoseconds since 1970; identities are hexadecimal, ``parent`` empty for a root."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: bool


@dataclass
class Received:
    """What has come.

    Attributes:
        counters: newest values by service, instance, name and labels.
        changed: notified whenever something comes.
    """

    spans: list[ReceivedSpan] = field(default_factory=list)
    counters: dict[tuple[str, str, str, Labels], float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def instances(self, service: str) -> set[str]:
        """The processes of a service that have sent a counter."""
        return {instance for of, instance, _, _ in self.counters if of == service}

    def total(self, service: str, name: str, **labels: str) -> float:
        """A counter's values of these labels, over all instances of a service."""
        wanted = set(labels.items())
        return sum(
            value
            for (of, _, found, has), value in list(self.counters.items())
            if (of, found) == (service, name) and wanted <= set(has)
        )

    def exposed(self) -> str:
        """All counters in Prometheus' text format."""
        with self.changed:
            found = sorted(self.counters.items())
        lines = []
        for (service, instance, name, labels), value in found:
            named = [*labels, ("job", service), ("instance", instance)]
            text = ",".join(f"{label}={json.dumps(str(of))}" for label, of in named)
            lines.append(f"{name.removesuffix('_total')}_total{{{text}}} {value}\n")
        return "".join(lines)

    def take_metrics(self, body: bytes) -> None:
        """A serialised ExportMetricsServiceRequest."""
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            of = _values(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:
                        labels = tuple(sorted(_values(point.attributes).items()))
                        key = (of["service.name"], of["service.instance.id"], metric.name, labels)
                        self.counters[key] = point.as_double or float(point.as_int)

    def take_spans(self, body: bytes) -> None:
        """A serialised ExportTraceServiceRequest."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        ReceivedSpan(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            _values(span.attributes),
                            [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                            span.status.code == span.status.STATUS_CODE_ERROR,
                        )
                    )


def _values(attributes: Sequence[Any]) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """The parts of a chunked body (RFC 9112, section 7.1)."""
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


@contextmanager
def receiver() -> Iterator[tuple[str, Received]]:
    """Listen on a free port; gives the URL for ``OTEL_EXPORTER_OTLP_ENDPOINT``, and what comes."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("text/plain; version=0.0.4", received.exposed().encode())

        def do_POST(self) -> None:
            length = self.headers.get("content-length")
            # Envoy says no length: it sends chunks.
            parts = [self.rfile.read(int(length))] if length else list(_chunks(self.rfile))
            body = b"".join(parts)
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            traces = self.path == "/v1/traces"
            with received.changed:
                (received.take_spans if traces else received.take_metrics)(body)
                received.changed.notify_all()
            answer = ExportTraceServiceResponse() if traces else ExportMetricsServiceResponse()
            self._answer("application/x-protobuf", answer.SerializeToString())

        def _answer(self, media_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a line a request is of no use."""

    class Server(ThreadingHTTPServer):
        # Whoever sends does not wait for long, and hangs up at its end.
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    server = Server((LOCAL_HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{LOCAL_HOST}:{server.server_address[1]}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

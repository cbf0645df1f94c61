"""Traces of requests by OpenTelemetry, where ``OTEL_*`` ask for them; docs/tracing.md.

A request's span is current in its own task (``CURRENT``), so that whatever is done for it there can
be a part of it; where requests share work, they carry their spans along. A stage's span is made
when the stage has ended, of how long it took: nothing is held open, and what is not traced pays for
a look at ``CURRENT``. Whether a trace that begins here is recorded is asked before anything is made
of it: of one that is not, there is a header for those who are asked next, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from common.otlp import is_switched_on, resource, warn_of_grpc

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import Decision, Sampler
    from opentelemetry.trace import Span

    from serving.trace_ids import TraceIds

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

REQUEST_ID_KEY = "vision.request_id"
"""A span's attribute: what the request is called in logs and answers."""

CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
"""The recorded span of the request that the running task answers."""

Attributes = Mapping[str, str | int | float | bool]


def trace_id_of(span: Span | None) -> str:
    """In hexadecimal; empty where nothing is recorded."""
    return "" if span is None else f"{span.get_span_context().trace_id:032x}"


class Tracing:
    """Makes spans, once it has been started; before that, and where it is off, none.

    Attributes:
        is_on: whether it has been started.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._provider: TracerProvider | None = None
        self._sampler: Sampler | None = None
        self._dropped: Decision | None = None
        self._ids: TraceIds | None = None
        self._tracer: Any = None
        self._api: Any = None
        self._propagator: Any = None
        self._follows_parent = True

    def start(self, service: str, environment: Mapping[str, str]) -> None:
        """Begin, where the environment asks for it.

        Args:
            service: this process's name where the environment says none.
        """
        if not is_switched_on("traces", environment):
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        warn_of_grpc("traces", environment)
        sampler = environment.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        self.use(
            BatchSpanProcessor(OTLPSpanExporter()),
            resource=resource(service),
            follows_parent=sampler.startswith("parentbased"),
        )

    def use(
        self,
        processor: SpanProcessor,
        sampler: Sampler | None = None,
        resource: Resource | None = None,
        follows_parent: bool = True,
    ) -> None:
        """Make spans for that processor from now on.

        Args:
            sampler: what decides; by default the one that ``OTEL_TRACES_SAMPLER`` names.
            resource: what this process is.
            follows_parent: a request is recorded where its caller's ``traceparent`` says so.
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from serving.trace_ids import TraceIds

        self._ids = TraceIds()
        provider = TracerProvider(
            sampler, resource=resource, shutdown_on_exit=False, id_generator=self._ids
        )
        provider.add_span_processor(processor)

        self._api = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider, self._sampler = provider, provider.sampler
        self._dropped = Decision.DROP
        self._tracer = provider.get_tracer("vision")
        self._follows_parent = follows_parent
        self.is_on = True

    def stop(self) -> None:
        """Send what has been recorded, and end."""
        self.is_on = False
        if self._provider is not None:
            self._provider.shutdown()
            self._provider = None

    def begin(
        self, name: str, headers: MutableMapping[str, str], attributes: Callable[[], Attributes]
    ) -> Span | None:
        """The span of a request that has come, current from now on; None where it is not recorded.

        Args:
            headers: of the request; afterwards they name the span, or say that nothing is recorded,
                so that what is asked with them decides alike.
            attributes: asked for where it is recorded.
        """
        if not self.is_on:
            return None
        CURRENT.set(None)
        caller = headers.get(TRACEPARENT)
        if caller is None:
            if not self._is_chosen(name, headers):
                return None
        elif self._follows_parent and _is_left_out(caller):
            return None
        span: Span = self._tracer.start_span(
            name,
            context=self._propagator.extract(headers),
            kind=self._api.SpanKind.SERVER,
            attributes=attributes(),
        )
        self.name_in(headers, span)
        if not span.is_recording():
            return None
        CURRENT.set(span)
        return span

    def _is_chosen(self, name: str, headers: MutableMapping[str, str]) -> bool:
        """Whether a trace that begins here is recorded; if not, the headers say so afterwards."""
        assert self._ids is not None
        assert self._sampler is not None
        # It says more of a caller's trace, and there is none.
        headers.pop(TRACESTATE, None)
        trace_id = self._ids.generate_trace_id()
        found = self._sampler.should_sample(None, trace_id, name, self._api.SpanKind.SERVER)
        if found.decision is not self._dropped:
            self._ids.decided = trace_id
            return True
        headers[TRACEPARENT] = f"00-{trace_id:032x}-{self._ids.generate_span_id():016x}-00"
        return False

    def end(self, span: Span, attributes: Attributes, failed: bool = False) -> None:
        """A request's span, or another one that was held open, with how it ended."""
        span.set_attributes(attributes)
        if failed:
            span.set_status(self._api.StatusCode.ERROR)
        span.end()

    def name_in(self, headers: MutableMapping[str, str], span: Span) -> None:
        """Have headers name a span as the parent of what is done with them."""
        self._propagator.inject(headers, context=self._api.set_span_in_context(span))

    def open(
        self,
        name: str,
        parent: Span,
        attributes: Attributes,
        links: Iterable[Span] = (),
        is_call: bool = False,
    ) -> Span:
        """A part of what ``parent`` is of, which begins now; ``end`` must follow.

        Args:
            links: what else it is done for.
            is_call: of another process.
        """
        kinds = self._api.SpanKind
        span: Span = self._tracer.start_span(
            name,
            context=self._api.set_span_in_context(parent),
            kind=kinds.CLIENT if is_call else kinds.INTERNAL,
            attributes=attributes,
            links=[self._api.Link(other.get_span_context()) for other in links],
        )
        return span

    def record(
        self,
        name: str,
        parent: Span,
        seconds: float,
        attributes: Attributes | None = None,
        links: Iterable[Span] = (),
        ago_seconds: float = 0.0,
    ) -> None:
        """A part of what ``parent`` is of, which took so long and ended so long ago."""
        ended = time.time_ns() - int(ago_seconds * 1e9)
        self._tracer.start_span(
            name,
            context=self._api.set_span_in_context(parent),
            start_time=ended - int(seconds * 1e9),
            attributes=attributes,
            links=[self._api.Link(other.get_span_context()) for other in links],
        ).end(ended)


def left_out(headers: Mapping[str, str]) -> dict[str, str]:
    """The header that says that nothing is recorded, if that is what these say."""
    traceparent = headers.get(TRACEPARENT, "")
    return {TRACEPARENT: traceparent} if _is_left_out(traceparent) else {}


def _is_left_out(traceparent: str) -> bool:
    """Whether a caller's trace is not recorded (``00-<trace>-<span>-00``)."""
    return len(traceparent) == 55 and traceparent[54] in "02468ace"


TRACING = Tracing()

"""Traces of requests by OpenTelemetry, where ``OTEL_*`` ask for them; docs/tracing.md.

A request's span is current in its own task (``CURRENT``), so that whatever is done for it there can
be a part of it; where requests share work, they carry their spans along. A stage's span is made
when the stage has ended, of how long it took: nothing is held open, and what is not traced pays for
a look at ``CURRENT``. Whether a trace that begins here is recorded is asked before anything is made
of it: of one that is not, there is a header for those who are asked next, and nothing else. What is
recorded becomes the SDK's when it has ended, to be batched and sent by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from random import getrandbits
from typing import TYPE_CHECKING, Any

from common.otlp import is_switched_on, resource, warn_of_grpc
from serving.spans import (
    RANDOM,
    RECORDED,
    TRACEPARENT,
    TRACESTATE,
    Attributes,
    Span,
    is_left_out,
    traceparent,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanContext

REQUEST_ID_KEY = "vision.request_id"
"""A span's attribute: what the request is called in logs and answers."""

CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
"""The recorded span of the request that the running task answers."""


class Tracing:
    """Makes spans, once it has been started; before that, and where it is off, none.

    Attributes:
        is_on: whether it has been started.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._processor: SpanProcessor | None = None
        self._sampler: Any = None
        self._propagator: Any = None
        self._api: Any = None
        self._sdk: Any = None
        self._same: dict[str, Any] = {}
        self._failed: dict[str, Any] = {}
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
        """Make spans from now on, and tell that processor of each when it has ended.

        Args:
            sampler: what decides on a request; what is done for it is recorded as it is. By default
                the one that ``OTEL_TRACES_SAMPLER`` names.
            resource: what this process is.
            follows_parent: a request is recorded where its caller's ``traceparent`` says so, and
                the sampler is asked about those alone that have none.
        """
        from opentelemetry import trace
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # The SDK's provider knows which sampler the environment names; it makes no span here.
        provider = sdk.TracerProvider(sampler, resource=resource, shutdown_on_exit=False)
        self._sampler = provider.sampler
        self._processor = processor
        self._propagator = TraceContextTextMapPropagator()
        self._api, self._sdk = trace, sdk
        self._same = {
            "resource": provider.resource,
            "instrumentation_scope": InstrumentationScope("vision"),
        }
        self._failed = {**self._same, "status": trace.Status(trace.StatusCode.ERROR)}
        self._follows_parent = follows_parent
        self.is_on = True

    def stop(self) -> None:
        """Send what has been recorded, and end."""
        self.is_on = False
        if self._processor is not None:
            self._processor.shutdown()
            self._processor = None

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
        named = headers.get(TRACEPARENT)
        if named is not None and self._follows_parent and is_left_out(named):
            return None
        context, parent = None, None
        if named is not None:
            context = self._propagator.extract(headers)
            caller: SpanContext = self._api.get_current_span(context).get_span_context()
            parent = caller if caller.is_valid else None
        if parent is None:
            # It says more of a caller's trace, and there is none.
            headers.pop(TRACESTATE, None)
            trace_id = getrandbits(128) or 1
            flags = RANDOM
        else:
            trace_id = parent.trace_id
            flags = parent.trace_flags & RANDOM
        if parent is not None and self._follows_parent:
            if not parent.trace_flags.sampled:
                return None
            found: Attributes = {}
            state = parent.trace_state
        else:
            asked = self._sampler.should_sample(context, trace_id, name, self._api.SpanKind.SERVER)
            if not asked.decision.is_sampled():
                headers[TRACEPARENT] = traceparent(trace_id, _span_id(), 0)
                return None
            found, state = asked.attributes or {}, asked.trace_state
        span = Span(
            name,
            self._api.SpanContext(
                trace_id, _span_id(), False, self._api.TraceFlags(flags | RECORDED), state
            ),
            parent,
            self._api.SpanKind.SERVER,
            time.time_ns(),
            {**found, **attributes()},
            [],
        )
        self.name_in(headers, span)
        CURRENT.set(span)
        return span

    def end(self, span: Span, attributes: Attributes, failed: bool = False) -> None:
        """A request's span, or another one that was held open, with how it ended."""
        span.attributes.update(attributes)
        self._ended(span, time.time_ns(), failed)

    def name_in(self, headers: MutableMapping[str, str], span: Span) -> None:
        """Have headers name a span as the parent of what is done with them."""
        named = self._api.NonRecordingSpan(span.context)
        self._propagator.inject(headers, context=self._api.set_span_in_context(named))

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
        return self._part(name, parent, time.time_ns(), attributes, links, is_call)

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
        began = ended - int(seconds * 1e9)
        self._ended(self._part(name, parent, began, attributes or {}, links), ended)

    def _part(
        self,
        name: str,
        parent: Span,
        began_ns: int,
        attributes: Attributes,
        links: Iterable[Span],
        is_call: bool = False,
    ) -> Span:
        whole = parent.context
        kinds = self._api.SpanKind
        return Span(
            name,
            self._api.SpanContext(
                whole.trace_id, _span_id(), False, whole.trace_flags, whole.trace_state
            ),
            whole,
            kinds.CLIENT if is_call else kinds.INTERNAL,
            began_ns,
            dict(attributes),
            [self._api.Link(other.context) for other in links],
        )

    def _ended(self, span: Span, ended_ns: int, failed: bool = False) -> None:
        if self._processor is None:
            return
        self._processor.on_end(
            self._sdk.ReadableSpan(
                span.name,
                context=span.context,
                parent=span.parent,
                kind=span.kind,
                attributes=span.attributes,
                links=span.links,
                start_time=span.began_ns,
                end_time=ended_ns,
                **(self._failed if failed else self._same),
            )
        )


def _span_id() -> int:
    return getrandbits(64) or 1


TRACING = Tracing()

"""Identities of traces, drawn before it is known whether a trace is recorded."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class TraceIds(RandomIdGenerator):
    """Gives a trace the identity that was decided upon; on the event loop alone.

    A sampler decides by a trace's identity, and the SDK draws one when it makes a span: to ask the
    sampler before there is a span, the identity is drawn first.

    Attributes:
        decided: the next trace's; 0 to draw one.
    """

    decided = 0

    def generate_trace_id(self) -> int:
        decided, self.decided = self.decided, 0
        return decided or super().generate_trace_id()

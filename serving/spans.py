"""Parts of recorded requests, and W3C's headers that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanContext, SpanKind

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

RECORDED, RANDOM = 1, 2
"""Flags: the trace is recorded; its identity was drawn at random."""

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]


class Span:
    """A part of a recorded request, from when it begins until it is told to have ended.

    The SDK's own are made for whoever may change them from any thread, and cost ten times as much.

    Attributes:
        context: its identity, and its trace's.
        parent: what it is a part of; None where the trace begins.
        began_ns: nanoseconds since 1970.
    """

    __slots__ = ("attributes", "began_ns", "context", "kind", "links", "name", "parent")

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        began_ns: int,
        attributes: dict[str, Attribute],
        links: list[Link],
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.began_ns = began_ns
        self.attributes = attributes
        self.links = links


def traceparent(trace_id: int, span_id: int, flags: int) -> str:
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def is_left_out(traceparent: str) -> bool:
    """Whether a caller's trace is not recorded (``00-<trace>-<span>-00``)."""
    return len(traceparent) == 55 and traceparent[54] in "02468ace"


def left_out(headers: Mapping[str, str]) -> dict[str, str]:
    """The header that says that nothing is recorded, if that is what these say."""
    named = headers.get(TRACEPARENT, "")
    return {TRACEPARENT: named} if is_left_out(named) else {}


def trace_id_of(span: Span | None) -> str:
    """In hexadecimal; empty where nothing is recorded."""
    return "" if span is None else f"{span.context.trace_id:032x}"

"""What requests that share a call to the predictor have in their traces."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from serving.spans import Span
from serving.tracing import CURRENT, TRACING


class Traced(Protocol):
    """A request in a batch; see ``transformer.pictures.model.Call``."""

    @property
    def span(self) -> Span | None: ...

    @property
    def arrived(self) -> float: ...


class TracedBatch:
    """One batch, from when it begins until ``end``.

    A span has one parent: the batch is a part of the first recorded request's trace, and links to
    all of them; the others have a span of the same length that links to it. In the task of the
    batch it is current, so that the call is a part of it.

    Args:
        calls: the requests that share it.
        instances: of all of them.
    """

    def __init__(self, calls: Sequence[Traced], instances: int) -> None:
        # Whoever's turn it was when the batch began, it is no part of that request alone.
        CURRENT.set(None)
        self._batch: Span | None = None
        spans = [call.span for call in calls if call.span is not None]
        if not spans:
            return
        self._began = time.perf_counter()
        self._others = spans[1:]
        self._size = {"vision.requests": len(calls), "vision.instances": instances}
        self._batch = TRACING.open("batch", spans[0], self._size, spans)
        CURRENT.set(self._batch)
        for call in calls:
            if call.span is not None:
                waited, ago = self._began - call.arrived, time.perf_counter() - self._began
                TRACING.record("queue", call.span, waited, ago_seconds=ago)

    def end(self) -> None:
        """The batch has been answered, or has failed."""
        if self._batch is None:
            return
        TRACING.end(self._batch, {})
        seconds = time.perf_counter() - self._began
        for span in self._others:
            TRACING.record("shared batch", span, seconds, self._size, [self._batch])

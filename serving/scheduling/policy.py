"""How many requests may share one call to the predictor.

A canary's share is dealt out by Envoy, call by call. Where two revisions answer, a call therefore
carries two requests at most: 2,000 requests make at least 1,000 calls, and the split stays as
fine as it was meant. Nobody tells the transformer of a canary; it sees one by the answers, which
name the artefact they came from. It begins as if there were one.
"""

from __future__ import annotations

from serving.scheduling.batching import BatchLimits

SURE_CALLS = 1_000
"""Calls in a row that one artefact must have answered until it is taken to be the only one. A
canary of one percent escapes notice for that long once in 23,000 times."""

SPLIT_REQUESTS = 2
"""Requests in a call while two revisions answer."""

CALLS = 1
"""Calls under way above which requests gather."""

ENOUGH_DIVISOR = 4
"""While one is, the share (one n-th) of a full call with which the next one leaves, so that the
predictor finds it when it is done: with less, calls become small; with more, it waits. Fitted on
two cores of an AMD EPYC with both servers on them, as ``PLENTY_DIVISOR`` is; see
benchmarks/NOTES.md."""

PLENTY_DIVISOR = 2
"""The share (one n-th) of a full call that leaves at once: thirty more pictures may have arrived in
the same turn of the event loop, which take a millisecond to decode."""

MAX_CALLS = 32
"""Calls under way at once, however they came to leave."""


class BatchPolicy:
    """Chooses the limits of a call from the answers that have come.

    Args:
        max_batch_size: instances of different requests in one call.
        max_queue_delay_seconds: that a request waits for others while fewer than ``MAX_CALLS``
            calls are under way.
        max_message_bytes: of one call.
    """

    def __init__(
        self, max_batch_size: int, max_queue_delay_seconds: float, max_message_bytes: int
    ) -> None:
        self._most = max_batch_size
        self._delay = max_queue_delay_seconds
        # Names, shapes and parameters take some of the message, too.
        self._max_bytes = max_message_bytes * 15 // 16
        self._digest: str | None = None
        self._in_a_row = 0
        self._choose(max_batch_size)

    @property
    def limits(self) -> BatchLimits:
        return self._together if self._in_a_row >= SURE_CALLS else self._split

    def observe(self, digest: str, batch_instances: int = 0) -> None:
        """Take note of the artefact that answered a call.

        Args:
            batch_instances: most that its predictor computes together now; 0 where it did not say.
                More in a call would wait for each other, and gain nothing.
        """
        most = min(self._most, batch_instances or self._most)
        if most != self._together.instances:
            self._choose(most)
        if digest != self._digest:
            self._digest = digest
            self._in_a_row = 0
        self._in_a_row += 1

    def _choose(self, most: int) -> None:
        """Limits of calls with so many instances of different requests."""
        self._together = BatchLimits(
            CALLS,
            MAX_CALLS,
            most,
            most,
            self._max_bytes,
            self._delay,
            enough=max(1, most // ENOUGH_DIVISOR),
            plenty=max(1, most // PLENTY_DIVISOR),
        )
        self._split = BatchLimits(
            MAX_CALLS, MAX_CALLS, min(SPLIT_REQUESTS, most), most, self._max_bytes
        )

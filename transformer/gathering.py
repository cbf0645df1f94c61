"""How many requests may share one call to the predictor.

A canary's share is dealt out by Envoy, call by call. Where two revisions answer, a call therefore
carries two requests at most: 2,000 requests make at least 1,000 calls, and the split stays as
fine as it was meant. Nobody tells the transformer of a canary; it sees one by the answers, which
name the artefact they came from. It begins as if there were one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.batching import BatchLimits

SURE_CALLS = 1_000
"""Calls in a row that one artefact must have answered until it is taken to be the only one. A
canary of one percent escapes notice for that long once in 23,000 times."""

SPLIT_REQUESTS = 2
"""Requests in a call while two revisions answer."""

CALLS = 1
"""Calls under way above which requests gather."""

ENOUGH = 4
"""While one is, the share (one n-th) of a full call with which the next one leaves, so that the
predictor finds it when it is done: with less, calls become small; with more, it waits."""

PLENTY = 2
"""The share (one n-th) of a full call that leaves at once: thirty more pictures may have arrived in
the same turn of the event loop, which take a millisecond to decode."""

MOST_CALLS = 32
HOLD_SECONDS = 0.02
"""Requests gather no longer than this, however long the predictor takes, so that the load that
its autoscaler sees, and what one stuck replica holds up, stay what they are without batching."""

REQUEST_ID_CHARACTERS = 128
"""Of the request ids that one call names, commas included: what a server takes as one."""


class Gathering:
    """Chooses the limits of a call from the answers that have come.

    Args:
        instances: most instances of different requests in one call.
        message_bytes: most bytes of one call.
    """

    def __init__(self, instances: int, message_bytes: int) -> None:
        # Names, shapes and parameters take some of the message, too.
        size_bytes = message_bytes * 15 // 16
        self._together = BatchLimits(
            CALLS,
            MOST_CALLS,
            instances,
            instances,
            size_bytes,
            HOLD_SECONDS,
            enough=max(1, instances // ENOUGH),
            plenty=max(1, instances // PLENTY),
        )
        self._split = BatchLimits(
            MOST_CALLS, MOST_CALLS, min(SPLIT_REQUESTS, instances), instances, size_bytes
        )
        self._digest: str | None = None
        self._in_a_row = 0

    @property
    def limits(self) -> BatchLimits:
        return self._together if self._in_a_row >= SURE_CALLS else self._split

    def saw(self, digest: str) -> None:
        """Take note of the artefact that answered a call."""
        if digest != self._digest:
            self._digest = digest
            self._in_a_row = 0
        self._in_a_row += 1


def headers_of_all(headers: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """What is forwarded of requests that share a call: a single one's headers as they are.

    A trace cannot have several parents, so of several only the request ids go on.
    """
    if len(headers) == 1:
        return headers[0]
    found = [item["x-request-id"] for item in headers if "x-request-id" in item]
    named = ""
    for request_id in found:
        longer = f"{named},{request_id}" if named else request_id
        if len(longer) > REQUEST_ID_CHARACTERS:
            break
        named = longer
    return {"x-request-id": named}

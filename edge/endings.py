"""Envoy's access log service: how did every admitted request end, answered or not?

The meter hears of answers alone. A client that goes away, and an Envoy that gives up, leave no
answer; what they cost is metered here.
"""

from __future__ import annotations

import logging
from typing import Any

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from grpc.aio import EOF

from edge.in_flight import InFlight
from edge.ledger import Ledger, LedgerDownError
from edge.metadata import ATTEMPT_FIELD, FIELD, NAMESPACE, Metered, read_metered
from edge.metrics import TALLY
from edge.records import Abandonment, Outcome

CLIENT_GONE = 499
"""The status of an event whose client went away before it had one; nginx's number for it."""

logger = logging.getLogger("edge.endings")


class Endings:
    """The one method of ``envoy.service.accesslog.v3.AccessLogService``.

    Args:
        own: whether they are of an Envoy whose requests were let through here.
    """

    def __init__(self, ledger: Ledger, in_flight: InFlight, own: bool = True) -> None:
        self._own = own
        self._ledger = ledger
        self._in_flight = in_flight

    async def stream(self, context: Any) -> bytes:
        """All that one worker of an Envoy has to say, until it stops.

        Of another's Envoy one message at a time: the next stream goes to its own check, as soon
        as that is there again.
        """
        try:
            while (data := await context.read()) is not EOF:
                await self.take(data)
                if not self._own:
                    break
        finally:
            if self._own:
                self._in_flight.forget_all()
        response: bytes = als_pb2.StreamAccessLogsResponse().SerializeToString()
        return response

    async def take(self, data: bytes) -> None:
        """A serialised StreamAccessLogsMessage."""
        for entry in als_pb2.StreamAccessLogsMessage.FromString(data).http_logs.log_entry:
            await self._end(entry)

    async def _end(self, entry: accesslog_pb2.HTTPAccessLogEntry) -> None:
        fields = entry.common_properties.metadata.filter_metadata[NAMESPACE].fields
        attempt = fields[ATTEMPT_FIELD].string_value
        if not attempt.isdecimal():
            # It was not admitted.
            return
        known = self._in_flight.end(int(attempt))
        text = fields[FIELD].string_value
        if not text or (known is not None and known.answered):
            return
        metered = read_metered(text)
        outcome = _outcome(metered, entry)
        TALLY.count_outcome(metered, outcome, outcome.status)
        ending = Abandonment(outcome, metered.attempt_id, known is not None)
        try:
            await self._ledger.abandon(ending)
        except LedgerDownError:
            # It stays an intent, and becomes unknown: listed, not billed.
            logger.warning("an unanswered request could not be recorded")


def _outcome(metered: Metered, entry: accesslog_pb2.HTTPAccessLogEntry) -> Outcome:
    duration = entry.common_properties.duration
    received = entry.request.request_body_bytes
    return Outcome(
        account_id=metered.account_id,
        request_id=metered.request_id,
        key_id=metered.key_id,
        family=metered.family,
        model=metered.model,
        revision="",
        status=entry.response.response_code.value or CLIENT_GONE,
        billed=False,
        instances=0,
        pixels=0,
        # What has arrived, where a length was only promised.
        request_bytes=received if metered.request_bytes < 0 else metered.request_bytes,
        response_bytes=entry.response.response_body_bytes,
        milliseconds=duration.ToMilliseconds(),
        reserved=metered.reserved,
        experiment=metered.experiment,
        variant=metered.variant,
        subject=metered.subject,
    )

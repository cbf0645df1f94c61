"""Envoy's ``ext_proc`` service: how did it end? No answer leaves before that is on disk."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from grpc.aio import EOF

from accounts.clock import now_ms
from common.predicted import HEADER as PREDICTED
from common.predicted import is_header
from edge.check import REUSED_CODE, REUSED_MESSAGE
from edge.in_flight import InFlight
from edge.ledger import Ledger, LedgerDownError
from edge.metadata import ATTEMPT_FIELD, FIELD, NAMESPACE, Metered, read_metered
from edge.metrics import TALLY
from edge.records import Completed, Outcome

OWN_HEADERS = (
    "x-model-name",
    "x-model-revision",
    "x-model-digest",
    "x-model-instances",
    "x-model-pixels",
    "x-model-content",
    "x-model-received-bytes",
    "x-model-unsure",
    PREDICTED,
)
"""What the transformer reports to the edge; it goes no further."""
CONTENT = re.compile("[0-9a-f]{64}")
MAX_REVISION_CHARACTERS = 63

logger = logging.getLogger("edge.meter")


class Meter:
    """The one method of ``envoy.service.ext_proc.v3.ExternalProcessor``."""

    def __init__(self, ledger: Ledger, in_flight: InFlight) -> None:
        self._ledger = ledger
        self._in_flight = in_flight

    async def process(self, context: Any) -> None:
        """One stream, which is one HTTP answer: serialised ProcessingRequests and -Responses."""
        while (data := await context.read()) is not EOF:
            await context.write(await self.answer(data))

    async def answer(self, data: bytes) -> bytes:
        """A serialised ProcessingRequest of response headers to its ProcessingResponse."""
        request = pb.ProcessingRequest.FromString(data)
        fields = request.metadata_context.filter_metadata[NAMESPACE].fields
        attempt, text = fields[ATTEMPT_FIELD].string_value, fields[FIELD].string_value
        headers = {
            item.key: (item.raw_value or item.value.encode()).decode("latin-1")
            for item in request.response_headers.headers.headers
        }
        if attempt:
            # Before anything is waited for: its end may be reported meanwhile.
            self._in_flight.answered(int(attempt))
        if text:
            metered = read_metered(text)
            outcome = _outcome(metered, headers)
            if outcome is None:
                # Of no revision: what it is was not said.
                TALLY.count_unclear(metered, 502)
                logger.error("an answer of model %s does not say what it is", metered.model)
                return _replaced(502, "bad_answer", "the model's answer is incomplete")
            try:
                completed = await self._ledger.complete(outcome)
            except LedgerDownError:
                TALLY.count_unclear(metered, 503)
                return _replaced(503, "unavailable", "accounts do not answer; repeat the request")
            withheld = completed is Completed.WITHHELD
            TALLY.count_outcome(metered, outcome, 409 if withheld else outcome.status)
            if withheld:
                return _replaced(409, REUSED_CODE, REUSED_MESSAGE)
        return _passed(headers)


def _outcome(metered: Metered, headers: dict[str, str]) -> Outcome | None:
    """None if it is a prediction that does not say what and how much it was."""
    status = int(headers.get(":status", "0"))
    billed = status == 200
    instances = headers.get("x-model-instances", "")
    pixels = headers.get("x-model-pixels", "")
    content = headers.get("x-model-content", "")
    if billed and not (instances.isdecimal() and pixels.isdecimal() and CONTENT.fullmatch(content)):
        return None
    received = headers.get("x-model-received-bytes", "")
    predicted = headers.get(PREDICTED, "")
    length = headers.get("content-length", "")
    unsure = headers.get("x-model-unsure", "")
    return Outcome(
        account_id=metered.account_id,
        request_id=metered.request_id,
        key_id=metered.key_id,
        family=metered.family,
        model=metered.model,
        revision=headers.get("x-model-revision", "")[:MAX_REVISION_CHARACTERS],
        status=status,
        billed=billed,
        instances=int(instances) if billed else 0,
        pixels=int(pixels) if billed else 0,
        request_bytes=int(received) if received.isdecimal() else metered.request_bytes,
        response_bytes=int(length) if length.isdecimal() else -1,
        milliseconds=max(0, now_ms() - metered.started_ms),
        reserved=metered.reserved,
        content=content,
        experiment=metered.experiment,
        variant=metered.variant,
        subject=metered.subject,
        unsure=int(unsure) if unsure.isdecimal() else None,
        predicted=predicted if billed and metered.keeps_predicted and is_header(predicted) else "",
        attempt_id=metered.attempt_id,
    )


def _passed(headers: dict[str, str]) -> bytes:
    response = pb.ProcessingResponse()
    removed = [name for name in OWN_HEADERS if name in headers]
    response.response_headers.response.header_mutation.remove_headers.extend(removed)
    data: bytes = response.SerializeToString()
    return data


def _replaced(status: int, code: str, message: str) -> bytes:
    response = pb.ProcessingResponse()
    refusal = response.immediate_response
    refusal.status.code = status
    refusal.body = json.dumps({"error": message, "code": code}).encode() + b"\n"
    option = refusal.headers.set_headers.add()
    option.header.key = "content-type"
    option.header.raw_value = b"application/json"
    data: bytes = response.SerializeToString()
    return data

"""Envoy's ``ext_authz`` service: may this request reach a model?"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Mapping
from typing import Any

from envoy.service.auth.v3 import external_auth_pb2 as pb
from google.rpc import code_pb2

from accounts.clock import SECOND_MS, month_bounds, month_of, now_ms
from accounts.keys import ALL_MODELS
from accounts.secret_tokens import has_key_form, token_hash
from common.routes import REQUEST_ID
from edge.directory import Directory
from edge.in_flight import InFlight
from edge.ledger import Ledger, LedgerDownError
from edge.metadata import ATTEMPT_FIELD, FIELD, Metered
from edge.records import Admitted, Intent, KeyRecord
from edge.route import find_route

EXPECTED_CONTENT = "x-expected-content"
"""Tells the model server what a used request id belongs to; the body is compared there."""
REMOVED_HEADERS = ("authorization", "cookie")
"""The model never sees who pays: KServe's transformer would forward the key to the predictor."""

REUSED_CODE = "request_id_reused"
REUSED_MESSAGE = "this x-request-id was another request's, or was repeated too often or too late"

logger = logging.getLogger("edge.check")


class DeniedError(Exception):
    """The request does not reach a model."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {"content-type": "application/json", **(headers or {})}
        self.body = json.dumps({"error": message, "code": code}) + "\n"


class Check:
    """The one method of ``envoy.service.auth.v3.Authorization``, on serialised messages."""

    def __init__(self, directory: Directory, ledger: Ledger, in_flight: InFlight) -> None:
        self._directory = directory
        self._ledger = ledger
        self._in_flight = in_flight

    async def check(self, data: bytes, context: Any = None) -> bytes:
        """A serialised CheckRequest to a serialised CheckResponse."""
        http = pb.CheckRequest.FromString(data).attributes.request.http
        try:
            return await self._decide(http.method, http.path, http.headers)
        except DeniedError as denied:
            return _denied(denied)
        except LedgerDownError:
            return _denied(
                DeniedError(
                    503, "unavailable", "accounts do not answer; try again", {"retry-after": "1"}
                )
            )
        except Exception:
            logger.exception("unexpected error")
            return _denied(DeniedError(500, "internal", "internal error"))

    async def _decide(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        # A protobuf map gives "" for what is not there.
        record = await self._authenticate(headers["authorization"])
        route = find_route(method, path)
        if route is None:
            raise DeniedError(404, "not_found", "there is nothing at this URL for this method")
        if route.model and ALL_MODELS not in record.scopes and route.model not in record.scopes:
            raise DeniedError(403, "forbidden", f"this key is not for model {route.model}")
        allowance = self._directory.allowance(record.family)
        assert allowance is not None
        now = time.monotonic()
        if wait := allowance.rate.wait_seconds(now):
            raise DeniedError(
                429,
                "over_rate",
                f"this key may send {record.rate_per_second} requests a second",
                {"retry-after": str(math.ceil(wait))},
            )
        request_id = headers["x-request-id"]
        if route.metered and not REQUEST_ID.fullmatch(request_id):
            raise DeniedError(400, "bad_request_id", "x-request-id has 1 to 128 visible characters")
        attempt_id = random.getrandbits(62)
        if not self._in_flight.begin(record.account_id, attempt_id, now):
            raise DeniedError(
                429,
                "too_many_in_flight",
                f"an account may have {self._in_flight.max_per_account} requests under way",
                {"retry-after": "1"},
            )
        if not route.metered:
            return _allowed(record, request_id, attempt_id, None)
        try:
            metered, content = await self._admit(record, route.model, headers, attempt_id, now)
        except BaseException:
            self._in_flight.end(attempt_id)
            raise
        return _allowed(record, request_id, attempt_id, metered, content)

    async def _admit(
        self,
        record: KeyRecord,
        model: str,
        headers: Mapping[str, str],
        attempt_id: int,
        now: float,
    ) -> tuple[Metered, str]:
        """An intent on record, and what content its request id belongs to, where that is known."""
        request_id = headers["x-request-id"]
        allowance = self._directory.allowance(record.family)
        assert allowance is not None
        room = allowance.has_room(record.quota_requests, request_id, now)
        if room:
            # Before anything is waited for, so that requests at the same time cannot share a place.
            allowance.opened(request_id, attempt_id, now)
        length = _length(headers["content-length"])
        intent = Intent(
            record.account_id,
            request_id,
            attempt_id,
            record.key_id,
            model,
            length,
            now_ms(),
            room,
        )
        try:
            admission = await self._ledger.admit(intent)
        except LedgerDownError:
            allowance.closed(request_id, attempt_id, False)
            raise
        if admission.admitted in (Admitted.REUSED, Admitted.NO_ROOM) and room:
            allowance.closed(request_id, attempt_id, False)
        _require(admission.admitted, record)
        metered = Metered(
            record.account_id,
            record.key_id,
            record.family,
            model,
            attempt_id,
            admission.admitted is Admitted.BILLED_BEFORE,
            intent.started_ms,
            length,
            request_id,
        )
        return metered, admission.content

    async def _authenticate(self, authorization: str) -> KeyRecord:
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not has_key_form(key):
            raise _unknown_key()
        # Found by its hash: no comparison here takes longer for a better guess.
        record = (await self._directory.find(token_hash(key))).record
        if record is None:
            raise _unknown_key()
        if record.expires_ms is not None and record.expires_ms <= now_ms():
            raise _unknown_key()
        return record


def _unknown_key() -> DeniedError:
    return DeniedError(
        401,
        "unauthorized",
        "a working API key is needed: 'authorization: Bearer vk_…'",
        {"www-authenticate": "Bearer"},
    )


def _require(admitted: Admitted, record: KeyRecord) -> None:
    if admitted is Admitted.NO_ROOM:
        raise DeniedError(
            429,
            "over_quota",
            f"this key's quota of {record.quota_requests} requests a month is used up",
            {"retry-after": str(_seconds_of_month_left())},
        )
    if admitted is Admitted.REUSED:
        raise DeniedError(
            409,
            REUSED_CODE,
            REUSED_MESSAGE,
        )


def _seconds_of_month_left() -> int:
    now = now_ms()
    return (month_bounds(month_of(now))[1] - now) // SECOND_MS + 1


def _length(text: str) -> int:
    """The declared length of a body, -1 where there is none."""
    return int(text) if text.isdecimal() and len(text) < 16 else -1


def _allowed(
    record: KeyRecord,
    request_id: str,
    attempt_id: int,
    metered: Metered | None,
    content: str = "",
) -> bytes:
    response = pb.CheckResponse()
    ok = response.ok_response
    set_headers = {
        "x-account-id": record.account_id,
        "x-key-id": record.key_id,
        "x-request-id": request_id,
    }
    if content:
        set_headers[EXPECTED_CONTENT] = content
    else:
        # A client's own would be believed.
        ok.headers_to_remove.append(EXPECTED_CONTENT)
    for name, value in set_headers.items():
        option = ok.headers.add()
        option.header.key = name
        option.header.value = value
    ok.headers_to_remove.extend(REMOVED_HEADERS)
    response.dynamic_metadata.fields[ATTEMPT_FIELD].string_value = str(attempt_id)
    if metered is not None:
        response.dynamic_metadata.fields[FIELD].string_value = metered.as_text()
    data: bytes = response.SerializeToString()
    return data


def _denied(denied: DeniedError) -> bytes:
    response = pb.CheckResponse()
    response.status.code = code_pb2.PERMISSION_DENIED
    refusal = response.denied_response
    refusal.status.code = denied.status
    refusal.body = denied.body
    for name, value in denied.headers.items():
        option = refusal.headers.add()
        option.header.key = name
        option.header.value = value
    data: bytes = response.SerializeToString()
    return data

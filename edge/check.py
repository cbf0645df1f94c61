"""Envoy's ``ext_authz`` service: may this request reach a model?"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from envoy.service.auth.v3 import external_auth_pb2 as pb
from google.rpc import code_pb2

from accounts.clock import SECOND_MS, month_bounds, month_of, now_ms
from accounts.house import HOUSE_HASH
from accounts.keys import ALL_MODELS, GIVES_FEEDBACK
from accounts.secret_tokens import has_key_form, token_hash
from common.routes import REQUEST_ID
from edge.assignment import Assignment, Assignments
from edge.denied import DeniedError
from edge.directory import Directory
from edge.hosts import Hosts, Served
from edge.in_flight import InFlight
from edge.ledger import Ledger, LedgerDownError
from edge.metadata import ATTEMPT_FIELD, FIELD, Metered
from edge.metrics import ALLOWED, TALLY
from edge.rates import Rates
from edge.records import Admission, Admitted, Intent, KeyRecord, Tried
from edge.route import Route, find_route
from edge.tries import MAX_AT_ONCE, Tries, TryLimits, try_id, used_up

EXPECTED_CONTENT = "x-expected-content"
"""Tells the model server what a used request id belongs to; the body is compared there."""
REMOVED_HEADERS = ("authorization", "cookie")
"""The model never sees who pays: KServe's transformer would forward the key to the predictor."""

UPSTREAM = "x-vision-upstream"
"""Tells Envoy where a variant answers, as host and port; no client's own passes."""
MIRROR, SHADOW_CLUSTER = "x-vision-mirror", "shadow"
"""Tells Envoy to send a copy, and where to."""
SHADOWED = "x-vision-shadow"
"""Tells who gets the copy of which experiment it is."""
VARIANT = "x-vision-variant"
"""Tells the client which variant of which experiment answers it."""

CAPTURE, CAPTURED_BY = "x-vision-capture", "capture"
"""Tells Envoy which of its clusters gets a copy of the request, whose account lets us keep it."""

BELIEVED_HEADERS = (EXPECTED_CONTENT, UPSTREAM, MIRROR, SHADOWED, CAPTURE)

TRIES_LEFT = "x-tries-left"
"""Tells who asks without a key how many tries a day are left."""

MAX_REPLICAS = 16
"""Of this many, each lets its part of an account's share through without counting the others'."""

REUSED_CODE = "request_id_reused"
REUSED_MESSAGE = "this x-request-id was another request's, or was repeated too often or too late"

logger = logging.getLogger("edge.check")


class Asker(NamedTuple):
    """On whose account a request is.

    Attributes:
        tried: of who has no key.
    """

    record: KeyRecord
    request_id: str
    tried: Tried | None = None


class Check:
    """The one method of ``envoy.service.auth.v3.Authorization``, on serialised messages.

    Args:
        limits: of tries without a key; none are given without it.
        assignments: what requests with a key take part in.
        hosts: customers' domains.
        rates: of keys and domains.
        own: whether the ends of what is let through are heard of here; otherwise what is under way
            is counted in the database alone.
    """

    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        in_flight: InFlight,
        limits: TryLimits | None = None,
        assignments: Assignments | None = None,
        hosts: Hosts | None = None,
        rates: Rates | None = None,
        own: bool = True,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._in_flight = in_flight
        self._own = own
        self._tries = Tries(limits or TryLimits())
        self._assignments = assignments or Assignments(ledger)
        self._hosts = hosts or Hosts(ledger)
        self._rates = rates or Rates(ledger)

    async def check(self, data: bytes, context: Any = None) -> bytes:
        """A serialised CheckRequest to a serialised CheckResponse."""
        attributes = pb.CheckRequest.FromString(data).attributes
        http = attributes.request.http
        peer = attributes.source.address.socket_address.address
        started = time.perf_counter()
        outcome = ALLOWED
        try:
            return await self._decide(http, peer)
        except DeniedError as denied:
            outcome = denied.code
            return _denied(denied)
        except LedgerDownError:
            outcome = "unavailable"
            return _denied(
                DeniedError(503, outcome, "accounts do not answer; try again", {"retry-after": "1"})
            )
        except Exception:
            logger.exception("unexpected error")
            outcome = "internal"
            return _denied(DeniedError(500, outcome, "internal error"))
        finally:
            TALLY.count_check(outcome, time.perf_counter() - started)

    async def _decide(self, http: Any, peer: str) -> bytes:
        # A protobuf map gives "" for what is not there.
        headers: Mapping[str, str] = http.headers
        route = find_route(http.method, http.path)
        domain = self._hosts.find(http.host, headers)
        is_try = self._tries.are_given and route is not None and route.metered
        # A customer's domain is for its own keys.
        if is_try and domain is None and not headers["authorization"]:
            asker = await self._admit_stranger(headers, peer)
        else:
            record = await self._authenticate(headers["authorization"])
            asker = Asker(record, headers["x-request-id"])
        if route is None:
            raise DeniedError(404, "not_found", "there is nothing at this URL for this method")
        if domain is not None:
            domain.require(asker.record.account_id, route.model)
        return await self._let_through(asker, route, headers, domain)

    async def _let_through(
        self, asker: Asker, route: Route, headers: Mapping[str, str], domain: Served | None
    ) -> bytes:
        record, tried = asker.record, asker.tried
        if route.model and ALL_MODELS not in record.scopes and route.model not in record.scopes:
            raise DeniedError(403, "forbidden", f"this key is not for model {route.model}")
        if wait := await self._rates.seconds(record.family, record.rate_per_second):
            raise DeniedError(
                429,
                "over_rate",
                f"this key may send {record.rate_per_second} requests a second",
                {"retry-after": str(math.ceil(wait))},
            )
        limit = domain.rules.rate_per_second if domain is not None else None
        if domain and limit and (wait := await self._rates.seconds(domain.bucket, limit)):
            raise domain.over_rate(wait)
        if route.metered and not REQUEST_ID.fullmatch(asker.request_id):
            raise DeniedError(400, "bad_request_id", "x-request-id has 1 to 128 visible characters")
        attempt_id = random.getrandbits(62)
        others = {f"address {tried.address}": MAX_AT_ONCE} if tried else {}
        now = time.monotonic()
        if self._own and not self._in_flight.begin(record.account_id, attempt_id, now, others):
            raise self._too_many(tried)
        if not route.metered:
            return _allowed(asker, attempt_id)
        assignment = None
        try:
            if tried is None:
                assignment = self._assignments.find(route.model, record, asker.request_id, headers)
            metered, admission = await self._admit(
                asker, route.model, headers, attempt_id, assignment
            )
        except BaseException:
            self._in_flight.end(attempt_id)
            raise
        return _allowed(asker, attempt_id, metered, admission, assignment)

    async def _admit_stranger(self, headers: Mapping[str, str], peer: str) -> Asker:
        """Somebody without a key, on the house's account; raises DeniedError."""
        tried = self._tries.ask(headers, peer, now_ms())
        record = (await self._directory.find(HOUSE_HASH)).record
        if record is None:
            raise _unknown_key()
        # Never one of the sender's: strangers share an account, and so the ids in it.
        return Asker(record, try_id(tried), tried)

    async def _admit(
        self,
        asker: Asker,
        model: str,
        headers: Mapping[str, str],
        attempt_id: int,
        assignment: Assignment | None,
    ) -> tuple[Metered, Admission]:
        """An intent on record, and what is known of its request id."""
        record, request_id = asker.record, asker.request_id
        share, quota = self._in_flight.max_per_account, record.quota_requests
        near = self._directory.allowance(record).is_near(quota, share)
        # Of few here there are few in all, whatever other replicas have let through.
        few = self._own and self._in_flight.waiting(record.account_id) <= share // MAX_REPLICAS
        length = _length(headers["content-length"])
        intent = Intent(
            record.account_id,
            request_id,
            attempt_id,
            record.key_id,
            model,
            length,
            now_ms(),
            record.family,
            quota if near else None,
            None if few else share,
            asker.tried,
        )
        admission = await self._ledger.admit(intent)
        self._require(admission.admitted, asker)
        taken_part = ("", "", "")
        if assignment is not None and assignment.variant is not None:
            taken_part = (assignment.experiment, assignment.variant.name, assignment.subject)
        metered = Metered(
            record.account_id,
            record.key_id,
            record.family,
            model,
            attempt_id,
            admission.admitted is Admitted.BILLED_BEFORE,
            intent.started_ms,
            length,
            GIVES_FEEDBACK in record.scopes,
            request_id,
            *taken_part,
        )
        return metered, admission

    def _require(self, admitted: Admitted, asker: Asker) -> None:
        if admitted is Admitted.TOO_MANY:
            raise self._too_many(asker.tried)
        if admitted is Admitted.NO_TRIES and asker.tried is not None:
            self._tries.remember(asker.tried)
            raise used_up(now_ms())
        if admitted is Admitted.NO_ROOM:
            raise DeniedError(
                429,
                "over_quota",
                f"this key's quota of {asker.record.quota_requests} requests a month is used up",
                {"retry-after": str(_seconds_of_month_left())},
            )
        if admitted is Admitted.REUSED:
            raise DeniedError(409, REUSED_CODE, REUSED_MESSAGE)

    def _too_many(self, tried: Tried | None) -> DeniedError:
        limit = MAX_AT_ONCE if tried else self._in_flight.max_per_account
        return DeniedError(
            429,
            "too_many_in_flight",
            f"an account, or an address without one, may have {limit} requests under way",
            {"retry-after": "1"},
        )

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


def _seconds_of_month_left() -> int:
    now = now_ms()
    return (month_bounds(month_of(now))[1] - now) // SECOND_MS + 1


def _length(text: str) -> int:
    """The declared length of a body, -1 where there is none."""
    return int(text) if text.isdecimal() and len(text) < 16 else -1


def _allowed(
    asker: Asker,
    attempt_id: int,
    metered: Metered | None = None,
    admission: Admission = Admission(Admitted.NEW),  # noqa: B008 - frozen
    assignment: Assignment | None = None,
) -> bytes:
    response = pb.CheckResponse()
    ok = response.ok_response
    set_headers = {
        "x-account-id": asker.record.account_id,
        "x-key-id": asker.record.key_id,
        "x-request-id": asker.request_id,
    }
    if asker.tried is not None:
        option = ok.response_headers_to_add.add()
        option.header.key, option.header.value = TRIES_LEFT, str(admission.tries_left)
    if admission.content:
        set_headers[EXPECTED_CONTENT] = admission.content
    percent = asker.record.captures.get(metered.model, 0.0) if metered else 0.0
    if random.getrandbits(32) < percent * 2**32 / 100:
        set_headers[CAPTURE] = CAPTURED_BY
    if assignment is not None:
        set_headers |= _ways(assignment)
        if assignment.variant is not None:
            option = ok.response_headers_to_add.add()
            option.header.key = VARIANT
            option.header.value = f"{assignment.experiment}/{assignment.variant.name}"
    # A client's own would be believed.
    ok.headers_to_remove.extend(name for name in BELIEVED_HEADERS if name not in set_headers)
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


def _ways(assignment: Assignment) -> dict[str, str]:
    """Headers that tell Envoy where an answer is had, and where a copy goes."""
    variant = assignment.variant
    ways = {UPSTREAM: urlsplit(variant.target).netloc} if variant else {}
    if assignment.shadowed:
        ways[MIRROR] = SHADOW_CLUSTER
        ways[SHADOWED] = assignment.experiment
    return ways


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

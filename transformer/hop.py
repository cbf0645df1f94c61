"""The hop to the predictor: v2 binary tensors over HTTP/1.1, by aiohttp's client.

Every call is a request of its own to the gateway, which splits a canary request by request;
connections are kept alive and shared by all models.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import numpy as np
import orjson
from numpy.typing import NDArray
from yarl import URL

from artifact import Contract
from serving.errors import (
    ERROR_CODE,
    BadPredictorAnswerError,
    ContractMismatchError,
    ContractRefusedError,
    DeadlineExceededError,
    MalformedRequestError,
    ModelNotFoundError,
    OverloadedError,
    ServingError,
    TooLargeError,
    UnavailableError,
)
from serving.model import BATCH_INSTANCES, CONTRACT_DIGEST, Answered
from serving.pixels import DATATYPES, PIXELS
from serving.spans import left_out, trace_id_of
from serving.tracing import CURRENT, TRACING
from serving.v2_client import InferResponse, read_infer_response, write_infer_request
from transformer.metrics import TALLY

FORWARDED = ("x-request-id", "traceparent", "tracestate", "x-b3-traceid")
"""Headers that go on to the predictor; `authorization` is the client's and stays here."""

FORWARDABLE = re.compile(r"[\x20-\x7e]{1,512}")
"""What a forwarded header may be made of; another one is left out."""

NAMEABLE = re.compile(r"[\x21-\x7e]{0,256}")
"""What revision and digest may be made of: they become headers."""

MAX_REQUEST_ID_CHARACTERS = 128
"""Of the request ids that one call names, commas included: what a server takes as one."""

CONNECTIONS = 128
"""Open at once; more calls wait for one. A model has 32 calls under way at most."""

IDLE_SECONDS = 30.0
"""A connection that has been idle for longer is not used again: less than what servers and
gateways allow (uvicorn 65 s here, Envoy an hour), so that they seldom close one under a call."""

NAME_SECONDS = 10
"""How long an address is known by before its name is looked up anew, for new connections."""

CONNECT_SECONDS = 5.0
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 0.5
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 1.0
SAY_SECONDS = 5.0
"""Between two log lines that say what is waited for."""

LARGE_BYTES = 1 << 20
"""A body from this size on is written in parts, so that the event loop gets its turns."""

READY_PATH = "/v2/health/ready"
READY_SECONDS = 2.0
UNREACHABLE = "the predictor cannot be reached"
MISSING = (
    "the predictor has not started yet: it may be loading, or find no room on the cluster; "
    "try again"
)

RETRIED = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
"""What gateways say while a predictor is waking up or going away, and a predictor that is not
ready. Nothing else is asked again: it was refused, or may have been very slow."""

_BY_STATUS: dict[int, tuple[type[ServingError], str]] = {
    400: (MalformedRequestError, "the predictor refused the request"),
    404: (ModelNotFoundError, "the predictor does not hold this model"),
    413: (TooLargeError, "the request is too large for the predictor"),
    415: (MalformedRequestError, "the predictor refused the request"),
    422: (MalformedRequestError, "the predictor refused the request"),
    429: (OverloadedError, "the predictor is overloaded"),
    502: (UnavailableError, UNREACHABLE),
    503: (UnavailableError, UNREACHABLE),
    504: (DeadlineExceededError, "the predictor did not answer in time"),
}


logger = logging.getLogger("transformer.hop")


@dataclass(frozen=True)
class ClientSettings:
    """Where the predictor is and how long to try; ``attempts`` counts the first call.

    Attributes:
        target: ``host:port``.
        timeout_seconds: for one call, all its attempts together.
        max_message_bytes: of a request and of an answer.
        authority: host that a gateway routes by, where it is not the target's own.
    """

    target: str
    timeout_seconds: float
    attempts: int
    max_message_bytes: int
    use_ssl: bool = False
    authority: str = ""


def headers_of_all(headers: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """What is forwarded of requests that share a call: a single one's headers as they are.

    A trace cannot have several parents, so of several only the request ids go on, and that nothing
    is recorded, where the first one says so: where something is, the call has a span of its own.
    """
    if len(headers) == 1:
        return headers[0]
    found = [item["x-request-id"] for item in headers if "x-request-id" in item]
    named = ""
    for request_id in found:
        longer = f"{named},{request_id}" if named else request_id
        if len(longer) > MAX_REQUEST_ID_CHARACTERS:
            break
        named = longer
    return {"x-request-id": named, **left_out(headers[0])}


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class PredictorClient:
    """Calls to the predictor, over connections that are shared by all models.

    Raises:
        ValueError: ``settings.target`` is not ``host:port``.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        address = settings.target.removeprefix("dns:///")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{settings.target!r} is not host:port")
        self._base = f"{'https' if settings.use_ssl else 'http'}://{address}"
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._reached = False
        self._reaching = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._attempts_made = TALLY.hop_attempts.labels()
        self.missing = False
        """Whether it was waited for as long as a start may take, and has not been ready since."""

    @property
    def settings(self) -> ClientSettings:
        return self._settings

    @property
    def max_message_bytes(self) -> int:
        return self._settings.max_message_bytes

    async def reach(self) -> None:
        """Wait until the predictor has said once that it is ready.

        The call wakes one that is scaled to zero, before the first request needs it: whoever wakes
        the transformer is about to need both, and their starts would else follow each other.
        Afterwards nobody is asked any more, so that it can go to zero again.
        """
        loop = asyncio.get_running_loop()
        async with self._reaching:
            pause, said = FIRST_PAUSE_SECONDS, loop.time()
            while not self._reached:
                deadline = loop.time() + self._settings.timeout_seconds
                try:
                    reply = await self._once("GET", READY_PATH, b"", {}, deadline)
                    self._reached = reply.status == HTTPStatus.OK
                    found = f"status {reply.status}"
                except ServingError as error:
                    found = error.message
                except _DisconnectedError:
                    found = UNREACHABLE
                if self._reached:
                    self.missing = False
                if self._reached or self._closed:
                    return
                if loop.time() - said >= SAY_SECONDS:
                    said = loop.time()
                    logger.info("not ready yet, %s: %s", self._base, found)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def is_ready(self) -> bool:
        """Whether the predictor says that it is; a probe that may keep it awake."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        try:
            return (await self._once("GET", READY_PATH, b"", {}, deadline)).status == HTTPStatus.OK
        except (ServingError, _DisconnectedError):
            return False

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        """Send a batch ``(n, c, h, w)``; get the contract's outputs ``(n, …)`` and who answered.

        Args:
            batch: the contract's tensor; pictures' pixels, to a predictor that takes them.

        Raises:
            ServingError: the class that fits the predictor's status; its text is shown only if
                the predictor is one of ours, for anybody else's may name internal addresses.
        """
        spec = contract.input
        datatype = PIXELS if batch.dtype == np.uint8 else spec.dtype
        sent, body = write_infer_request(
            batch, spec.name, datatype, {CONTRACT_DIGEST: contract.digest}, contract.outputs
        )
        rows = len(batch)
        del batch  # it may be large, and the answer takes a while
        if len(body) > self._settings.max_message_bytes:
            raise TooLargeError(f"{rows} instances are too large for one call to the predictor")
        for name in FORWARDED:
            if FORWARDABLE.fullmatch(headers.get(name, "")):
                sent[name] = headers[name]
        started = time.perf_counter()
        parent = CURRENT.get()
        span = None
        if parent is not None:
            span = TRACING.open("hop", parent, {"vision.model": model}, is_call=True)
            TRACING.name_in(sent, span)
        try:
            reply = await self._ask("POST", f"/v2/models/{quote(model, safe='')}/infer", body, sent)
            if reply.status != HTTPStatus.OK:
                raise _shown(reply) from None
            outputs, answered = _read(reply, contract, rows)
        except ServingError as error:
            TALLY.count_failed_call(model, error.error_code)
            if span is not None:
                TRACING.end(span, {"error.type": error.error_code}, failed=True)
            raise
        seconds = time.perf_counter() - started
        TALLY.count_call(model, answered.revision, seconds, trace_id_of(span))
        if span is not None:
            TRACING.end(span, {"vision.revision": answered.revision})
        return outputs, answered

    async def close(self) -> None:
        """Hang up; calls under way fail, and so do later ones."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> _Reply:
        """A reply, after as many attempts as it takes and are allowed.

        A prediction changes nothing, so a call may be made again whatever became of it.

        Raises:
            UnavailableError: also where a call was held to its deadline by a gateway, as one to a
                predictor that is scaled to zero and finds no room is; later calls hear it at once.
        """
        try:
            return await self._attempts(method, path, body, headers)
        except DeadlineExceededError:
            if await self.is_ready():
                raise
            self.missing, self._reached = True, False
            if self._watch is None or self._watch.done():
                self._watch = asyncio.ensure_future(self.reach())
            raise UnavailableError(MISSING) from None

    async def _attempts(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> _Reply:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.timeout_seconds
        attempt = 1
        moved = False
        while True:
            try:
                reply = await self._once(method, path, body, headers, deadline)
                if reply.status not in RETRIED:
                    return reply
                error: ServingError = _shown(reply)
            except _DisconnectedError:
                if not moved:
                    # Once at once, and beyond the attempts: a server may close a connection that
                    # was idle just when it is used again, or goes away and has a successor.
                    moved = True
                    continue
                error = UnavailableError(UNREACHABLE)
            except UnavailableError as unreachable:
                error = unreachable
            backoff = min(FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), MAX_BACKOFF_SECONDS)
            backoff *= random.uniform(0.8, 1.2)  # noqa: S311
            if attempt >= self._settings.attempts or loop.time() + backoff >= deadline:
                raise error from None
            attempt += 1
            await asyncio.sleep(backoff)

    async def _once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> _Reply:
        left = deadline - asyncio.get_running_loop().time()
        if method == "POST":
            self._attempts_made.add()
        try:
            async with self._opened().request(
                method,
                self._url(path),
                data=BytesIO(body) if len(body) >= LARGE_BYTES else body or None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=left, sock_connect=CONNECT_SECONDS),
                allow_redirects=False,
            ) as response:
                return _Reply(response.status, response.headers, await self._content(response))
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError):
            raise _DisconnectedError from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise UnavailableError(UNREACHABLE) from None
        except aiohttp.ClientOSError:
            raise _DisconnectedError from None
        except asyncio.TimeoutError:
            raise DeadlineExceededError("the predictor did not answer in time") from None
        except aiohttp.ClientError:
            raise BadPredictorAnswerError("the predictor's answer is damaged") from None

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        """The reply's body, no larger than it may be."""
        limit = self._settings.max_message_bytes
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadPredictorAnswerError("the predictor's answer is compressed")
        if response.content_length is not None:
            if response.content_length > limit:
                raise BadPredictorAnswerError("the predictor's answer is too large")
            return await response.read()
        whole = BytesIO()
        async for part in response.content.iter_any():
            if whole.tell() + len(part) > limit:
                raise BadPredictorAnswerError("the predictor's answer is too large")
            whole.write(part)
        return whole.getvalue()

    def _url(self, path: str) -> URL:
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = URL(self._base + path, encoded=True)
        return found

    def _opened(self) -> aiohttp.ClientSession:
        """The session; made on first use, for it belongs to the running event loop."""
        if self._closed:
            raise UnavailableError("the connection to the predictor is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=NAME_SECONDS
                ),
                headers={"host": self._settings.authority} if self._settings.authority else None,
                skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class _DisconnectedError(Exception):
    """The connection was lost under a call."""


def _shown(reply: _Reply) -> ServingError:
    kind, text = _BY_STATUS.get(reply.status, (BadPredictorAnswerError, "the predictor failed"))
    code = reply.headers.get(ERROR_CODE)
    if code is not None:
        text = _text_of(reply.body) or text
    for refused in (ContractRefusedError, ContractMismatchError):
        if code == refused.code:
            kind = refused
    # What it refused is counted apart from what was refused here.
    return kind(text, code=code, reason=f"predictor_{code or kind.code}")


def _text_of(body: bytes) -> str:
    """The text of an error document of ours."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    text = document.get("error") if isinstance(document, dict) else None
    return text if isinstance(text, str) else ""


def _read(
    reply: _Reply, contract: Contract, rows: int
) -> tuple[tuple[NDArray[Any], ...], Answered]:
    expected = list(zip(contract.outputs, contract.output_dtypes, strict=True))
    try:
        response: InferResponse = read_infer_response(reply.headers, reply.body, expected)
    except ValueError:
        raise BadPredictorAnswerError("the predictor's answer does not fit the contract") from None
    digest = response.parameters.get("model_digest", "")
    if (
        any(output.shape[0] != rows for output in response.outputs)
        or not isinstance(digest, str)
        or not NAMEABLE.fullmatch(response.model_version + digest)
    ):
        raise BadPredictorAnswerError("the predictor's answer does not fit the contract")
    for output in response.outputs:
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise BadPredictorAnswerError("the predictor's answer is not finite")
    taken = str(response.parameters.get(DATATYPES, "")).split(",")
    most = response.parameters.get(BATCH_INSTANCES)
    answered = Answered(
        response.model_version,
        digest,
        rows,
        takes_pixels=PIXELS in taken,
        batch_instances=most if isinstance(most, int) and most > 0 else 0,
    )
    return response.outputs, answered

"""The HTTP edge: around KServe's application, answering the prediction routes itself.

KServe's own read a body of any size, answer damaged requests with 500 and show the text of
exceptions. ``Edge.answer`` is the one handler behind them, whichever way a request comes in: as
an ASGI call, or on the short way of ``serving.protocol``. Every other route stays KServe's.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple, cast

import orjson
from fastapi.exceptions import RequestValidationError
from kserve import errors as kserve_errors
from kserve.model_repository import ModelRepository
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from common.routes import REQUEST_ID, Route, find_route
from serving.admission import Admission
from serving.content import CONTENT, METERED, metered_headers, require_expected
from serving.errors import (
    Internal,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    ServingError,
    TooLarge,
    Unavailable,
    UnknownModel,
    Unsupported,
)
from serving.logs import LogRateLimiter
from serving.metrics import TALLY
from serving.model import Answered, HttpRequest, Reply, ServedModel, revision_headers
from serving.refusals import Refusals
from serving.settings import ServerSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 60.0
INLINE_BYTES = 128 << 10
"""Bodies up to this size are parsed on the event loop: a thread would cost more than it saves."""

PIECE_BYTES = 1 << 20
"""Most bytes of an answer that are handed to the server at a time."""

_ID_PREFIX = str(uuid.uuid4())[:24]
_id_numbers = itertools.count(random.getrandbits(46))

logger = logging.getLogger("serving.http")
failures = LogRateLimiter(per_second=20)


class Disconnected(Exception):
    """The client went away before its request was read; there is nobody to answer."""


class Head(NamedTuple):
    """A prediction request without its body; header names are lower-case."""

    route: Route
    method: str
    path: str
    headers: dict[str, str]
    query: str = ""


class Finished(NamedTuple):
    """An answer on its way out; of its headers, the first is the request's id."""

    status: int
    reply: Reply
    headers: dict[str, str]


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}


class Edge:
    """ASGI middleware; see the module's docstring."""

    def __init__(
        self,
        app: Application,
        models: ModelRepository,
        settings: ServerSettings,
        admission: Admission | None = None,
    ) -> None:
        self._app = app
        self._models = models
        self._settings = settings
        self._admission = admission or settings.admission()
        self.refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = find_route(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await (self._pass_on if scope["type"] == "http" else self._app)(scope, receive, send)
            return
        headers = read_headers(scope["headers"])
        query = scope["query_string"].decode("latin-1")
        head = Head(route, scope["method"], scope["path"], headers, query)
        try:
            finished = await self.answer(head, receive)
        except Disconnected:
            return
        await send_reply(send, *finished)

    def refuse_at_once(self, head: Head) -> Finished | None:
        """The answer to a request for which there is no room; None where there is some.

        What ``answer`` would say, without beginning: a server refuses best when it is cheap.
        """
        if self._admission.has_room(self._settings.max_body_bytes):
            return None
        model = self._models.get_model(head.route.model)
        if model is None or not model.ready or head.route.verb != "predict":
            return None
        length = head.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > self._settings.max_body_bytes:
            return None
        try:
            self._admission.check(int(length))
        except Overloaded as error:
            request_id = self._name_request(head.headers)
            log_failure(error, error, head.method, head.path, request_id)
            TALLY.count_request(head.route.model, "", head.route.protocol, str(error.status))
            headers = {"x-request-id": request_id, **error.headers()}
            return Finished(error.status, error_reply(error), headers)
        return None

    def _name_request(self, headers: dict[str, str]) -> str:
        """The request's own id, or a new one where it has none that can be used."""
        request_id = headers.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = headers["x-request-id"] = new_request_id()
        return request_id

    async def answer(self, head: Head, body: bytes | Receive) -> Finished:
        """Answer one prediction request, count it and log it.

        Args:
            body: as it is, or where it is to be read from once it is wanted.

        Raises:
            Disconnected: the client went away before its body was there.
        """
        started = time.perf_counter()
        route, headers = head.route, head.headers
        request_id = self._name_request(headers)
        model: ServedModel | None = None
        answered: Answered | None = None
        admitted: int | None = None
        metered: dict[str, str] = {}
        try:
            model = self._find(route.model)
            if head.method != "POST":
                raise MethodNotAllowed(f"{head.method} is not allowed here; use POST", allow="POST")
            if route.verb == "explain":
                raise Unsupported("this model has no explainer")
            model.require_ready()
            length = self._declared_bytes(headers)
            self._admission.enter(length)
            admitted = length
            if not isinstance(body, bytes):
                body = await self._read_body(body)
            metered = await metered_headers(head.path, head.query, headers, body)
            require_expected(headers, metered)
            request = HttpRequest(body, headers, head.query)
            read = model.read_v1 if route.protocol == "v1" else model.read_v2
            if len(body) <= INLINE_BYTES:
                payload = read(request)
            else:
                payload = await asyncio.get_running_loop().run_in_executor(None, read, request)
            answer, _ = await model(payload, headers)
            answered = cast(Answered, answer.answered)
            if route.version not in (None, answered.revision):
                raise NotFound(
                    f"model {route.model} answered with revision {answered.revision}; "
                    f"{route.version!r} is not what runs here"
                )
            reply = model.write_v1(answer) if route.protocol == "v1" else model.write_v2(answer)
            extra = {**reply.headers, **revision_headers(route.model, answered)}
            status = 200
        except Disconnected:
            raise
        except Exception as error:
            shown = shown_error(error)
            log_failure(shown, error, head.method, head.path, request_id)
            status, reply, extra = shown.status, error_reply(shown), shown.headers()
            # Its traceback leads back here: a circle that would hold the body for long.
            shown.__traceback__ = None
            answered = None
        finally:
            if admitted is not None:
                self._admission.leave(admitted, answered is not None)
        elapsed = time.perf_counter() - started
        known = "" if model is None else route.model
        revision = answered.revision if answered else ""
        TALLY.count_request(known, revision, route.protocol, str(status))
        if answered:
            TALLY.count_answer(known, revision, route.protocol, elapsed, answered.instances)
        if self._settings.access_log:
            logger.info(
                "answered",
                extra={
                    "request_id": request_id,
                    "method": head.method,
                    "path": head.path,
                    "status": status,
                    "revision": revision or None,
                    "milliseconds": round(elapsed * 1000, 2),
                    "instances": answered.instances if answered else None,
                    "account_id": headers.get(METERED),
                    "content": metered.get(CONTENT),
                },
            )
        return Finished(status, reply, {"x-request-id": request_id, **extra, **metered})

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            shown = shown_error(error)
            log_failure(shown, error, scope["method"], scope["path"])
            if not started:
                await send_reply(send, shown.status, error_reply(shown), shown.headers())

    def _find(self, name: str) -> ServedModel:
        model = self._models.get_model(name)
        if model is None:
            known = ", ".join(sorted(self._models.get_models()))
            raise UnknownModel(f"there is no model {name!r} here; there are: {known}")
        return cast(ServedModel, model)

    def _declared_bytes(self, headers: dict[str, str]) -> int:
        """The body's length; where it is not told, the most that it may have."""
        limit = self._settings.max_body_bytes
        declared = headers.get("content-length", "")
        if len(declared) > 15 or (declared.isdecimal() and int(declared) > limit):
            raise TooLarge(f"the body has {declared[:15]} bytes; the limit is {limit}")
        return int(declared) if declared.isdecimal() else limit

    async def _read_body(self, receive: Receive) -> bytes:
        try:
            return await asyncio.wait_for(
                _collect(receive, self._settings.max_body_bytes), BODY_SECONDS
            )
        except asyncio.TimeoutError:
            raise MalformedRequest(
                f"the body did not arrive within {BODY_SECONDS:.0f} seconds"
            ) from None


async def _collect(receive: Receive, limit: int) -> bytes:
    # Joining a list of parts would hold a large body twice; this gives its buffer away as it is.
    whole = io.BytesIO()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body is larger than the limit of {limit} bytes")
        whole.write(part)
        if not message.get("more_body", False):
            return whole.getvalue()


def shown_error(error: BaseException) -> ServingError:
    """What a client is shown of any exception; of an unexpected one, nothing."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, kserve_errors.InvalidInput):
        return MalformedRequest(str(error))
    if isinstance(error, kserve_errors.ModelNotFound):
        return UnknownModel(str(error))
    if isinstance(
        error,
        (kserve_errors.ModelNotReady, kserve_errors.ServerNotReady, kserve_errors.ServerNotLive),
    ):
        return Unavailable(str(error))
    if isinstance(error, (kserve_errors.UnsupportedProtocol, NotImplementedError)):
        return Unsupported(str(error))
    if isinstance(error, RequestValidationError):
        return InvalidRequest("the request does not have the protocol's shape")
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            return MethodNotAllowed("this method is not allowed here", allow=allow)
        return NotFound("there is nothing at this URL")
    return Internal()


def log_failure(
    shown: ServingError, error: BaseException, method: str, path: str, request_id: str = ""
) -> None:
    """A client's mistake is a warning without a traceback; ours comes with one."""
    level = logging.ERROR if isinstance(shown, Internal) else logging.WARNING
    left_out = failures.count(shown.error_code)
    if left_out is None:
        return
    logger.log(
        level,
        shown.message if level == logging.WARNING else "unexpected error",
        exc_info=error if level == logging.ERROR else None,
        extra={
            "request_id": request_id or None,
            "method": method,
            "path": path[:200],
            "status": shown.status,
            "code": shown.error_code,
            "left_out": left_out or None,
        },
    )


def new_request_id() -> str:
    """A UUID (version 4) whose first half is drawn once a process, and whose rest counts up."""
    return f"{_ID_PREFIX}{next(_id_numbers):012x}"


def error_reply(error: ServingError) -> Reply:
    return Reply(orjson.dumps(error.as_json()))


async def send_reply(send: Send, status: int, reply: Reply, headers: dict[str, str]) -> None:
    raw = [(b"content-type", reply.media_type.encode())]
    raw.append((b"content-length", str(reply.size).encode()))
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if reply.size <= PIECE_BYTES:
        body = reply.body + reply.rest if reply.rest else reply.body
        await send({"type": "http.response.body", "body": body})
        return
    # In pieces: a server that takes a large body whole holds it two or three times.
    left = reply.size
    for part in (memoryview(reply.body), reply.rest):
        for start in range(0, len(part), PIECE_BYTES):
            piece = bytes(part[start : start + PIECE_BYTES])
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


async def render_error(request: Request, error: Exception) -> Response:
    """FastAPI's exception handler for every class: the same shape as the edge's."""
    shown = shown_error(error)
    log_failure(shown, error, request.method, request.url.path)
    return Response(
        error_reply(shown).body,
        shown.status,
        shown.headers(),
        media_type="application/json",
    )

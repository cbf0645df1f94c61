"""The HTTP edge: ASGI middleware of KServe's application, which answers the prediction routes.

KServe's own read a body of any size, answer damaged requests with 500 and show the text of
exceptions. Every other route of KServe's stays KServe's; what is none of its routes is 404 here.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple, cast

from kserve.model_repository import ModelRepository

from common.predicted import HEADER as PREDICTED
from common.predicted import as_header
from common.routes import REQUEST_ID, Route, find_route
from serving.body import BodyReader, declared_bytes
from serving.content import CONTENT, METERED, metered_headers, require_expected
from serving.content_coding import is_coded, unfold
from serving.errors import (
    IGNORES_OFFERS,
    LateOfferError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    ServingError,
    UnsupportedError,
)
from serving.interruption import DisconnectedError, DisconnectWatch, Interruption, Receive
from serving.metrics import TALLY, Sizes
from serving.model import Answered, HttpRequest, Reply, ServedModel, revision_headers
from serving.rendering import Send, error_reply, log_failure, send_error, send_reply, shown_error
from serving.routing import is_of_kserve, template_of
from serving.scheduling.admission import Admission
from serving.scheduling.refusals import Refusals
from serving.settings import ServerSettings
from serving.spans import Attributes, trace_id_of
from serving.tracing import CURRENT, REQUEST_ID_KEY, TRACING

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

INLINE_BYTES = 128 << 10
"""Bodies up to this size are parsed on the event loop: a thread would cost more than it saves."""

CLIENT_GONE = "499"
"""The code that a request is counted by whose client did not wait; nginx's, for want of another."""

NOWHERE = ""
"""The route of a request for nothing that is here: its path is a stranger's choice."""

PIXELS = "x-model-pixels"

STATUS = "http.response.status_code"
"""A span's attribute."""

_ID_PREFIX = str(uuid.uuid4())[:24]
_id_numbers = itertools.count(random.getrandbits(46))

logger = logging.getLogger("serving.http")


class Head(NamedTuple):
    """A prediction request without its body; header names are lower-case."""

    route: Route
    method: str
    path: str
    headers: dict[str, str]
    query: str = ""


class Work(NamedTuple):
    """A request that was answered: what leaves, and who answered.

    Attributes:
        received_bytes: of the request's body.
    """

    reply: Reply
    answered: Answered
    received_bytes: int


class Edge:
    """ASGI middleware; see the module's docstring.

    Args:
        admission: shared with the server's other edges.
    """

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
        self._refusals = Refusals()
        TALLY.watch(self._admission)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        state = scope.get("state", {})
        if not state.get(IGNORES_OFFERS, True) and any(
            n == b"upgrade" for n, _ in scope["headers"]
        ):
            late = LateOfferError("Upgrade is only read in the first request of a connection")
            await self._refuse(scope, send, late)
            return
        route = find_route(path)
        if route is not None:
            query = scope["query_string"].decode("latin-1")
            headers = read_headers(scope["headers"])
            await self._predict(Head(route, scope["method"], path, headers, query), receive, send)
        elif is_of_kserve(path):
            # RFC 9110, section 9.3.2; the server leaves out the body of an answer to HEAD.
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            await self._pass_on(scope, receive, send)
        else:
            await self._refuse(scope, send, NotFoundError("there is nothing at this URL"))

    async def _refuse(self, scope: Scope, send: Send, error: ServingError) -> None:
        """Answer a request that is let through to nobody."""
        log_failure(error, error, scope["method"], scope["path"])
        TALLY.count_other(NOWHERE, str(error.status))
        await send_error(send, error)

    async def _predict(self, head: Head, receive: Receive, send: Send) -> None:
        """Answer one prediction request, count it and log it."""
        started = time.perf_counter()
        protocol, route = head.route.protocol, head.route.template
        request_id = name_request(head.headers)
        span = None
        if TRACING.is_on:
            span = TRACING.begin(
                f"{head.method} {route}",
                head.headers,
                lambda: {
                    "http.request.method": head.method,
                    "http.route": route,
                    "vision.model": head.route.model,
                    REQUEST_ID_KEY: request_id,
                },
            )
        known = head.route.model if self._models.get_model(head.route.model) is not None else ""
        work: Work | None = None
        metered: dict[str, str] = {}
        try:
            work = await self._within_limits(head, receive, metered)
            status, reply = 200, work.reply
            extra = {**reply.headers, **revision_headers(head.route.model, work.answered)}
        except DisconnectedError:
            TALLY.count_failure(known, protocol, route, CLIENT_GONE, "client_gone")
            if span is not None:
                TRACING.end(span, {"error.type": "client_gone"})
            return
        except Exception as error:
            shown = shown_error(error)
            log_failure(shown, error, head.method, head.path, request_id)
            status, reply, extra = shown.status, error_reply(shown), shown.headers()
            TALLY.count_failure(known, protocol, route, str(status), shown.reason)
            if span is not None:
                ended: Attributes = {STATUS: status, "error.type": shown.error_code}
                TRACING.end(span, ended, failed=status >= 500)
            if isinstance(shown, OverloadedError):
                await self._refusals.turn()
            # Its traceback leads back here: a circle that would hold the body for long.
            shown.__traceback__ = None
        elapsed = time.perf_counter() - started
        if work:
            revision, sizes = work.answered.revision, _sizes(work)
            trace_id = trace_id_of(span)
            TALLY.count_answer(known, revision, protocol, route, "200", elapsed, sizes, trace_id)
            if span is not None:
                TRACING.end(span, {STATUS: status, "vision.revision": revision})
        if self._settings.access_log:
            _log_answer(head, request_id, status, elapsed, work, metered)
        headers = {"x-request-id": request_id, **extra, **metered}
        if span is not None:
            TRACING.name_in(headers, span)
        await send_reply(send, status, reply, headers)

    async def _within_limits(self, head: Head, receive: Receive, metered: dict[str, str]) -> Work:
        """Admit a request, read its body and have it answered, as long as its client waits.

        Args:
            metered: gets the headers that say what was asked, once that is known.
        """
        model = self._find(head.route.model)
        if head.method != "POST":
            raise MethodNotAllowedError(
                f"{head.method} is not allowed here; use POST", allow="POST"
            )
        if head.route.verb == "explain":
            raise UnsupportedError("this model has no explainer")
        model.require_ready()
        limit = self._settings.max_body_bytes
        # Before a body is read for which there is no room; nothing is held by what is announced.
        self._admission.check(declared_bytes(head.headers, limit))
        coded = is_coded(head.headers)
        interruption = Interruption()
        reader = BodyReader(receive, limit, self._admission, interruption)
        entered = answered = False
        try:
            body = await reader.read()
            received_bytes = len(body)
            self._admission.enter(0)
            entered = True
            metered |= await metered_headers(head.path, head.query, head.headers, body)
            require_expected(head.headers, metered)
            if coded:
                body = await unfold(body, limit, reader.reserve)
            with DisconnectWatch(receive, interruption):
                reply, who = await self._answer(model, head, body, metered)
            answered = True
            return Work(reply, who, received_bytes)
        except asyncio.CancelledError:
            if interruption.reason is None:
                raise
            interruption.taken()
            raise interruption.reason from None
        finally:
            self._admission.release(reader.reserved)
            if entered:
                self._admission.leave(0, answered)

    async def _answer(
        self, model: ServedModel, head: Head, body: bytes, metered: dict[str, str]
    ) -> tuple[Reply, Answered]:
        """The model's answer, rendered by the protocol that the request came by."""
        route, headers = head.route, head.headers
        request = HttpRequest(body, headers, head.query)
        read = model.read_v1 if route.protocol == "v1" else model.read_v2
        if len(body) <= INLINE_BYTES:
            payload = read(request)
        else:
            payload = await asyncio.get_running_loop().run_in_executor(None, read, request)
        answer = await model.answer(payload, headers)
        answered = cast(Answered, answer.answered)
        if route.version not in (None, answered.revision):
            raise NotFoundError(
                f"model {route.model} answered with revision {answered.revision}; "
                f"{route.version!r} is not what runs here"
            )
        if metered and (predicted := as_header(model.predicted(answer))):
            metered[PREDICTED] = predicted
        reply = model.write_v1(answer) if route.protocol == "v1" else model.write_v2(answer)
        return reply, answered

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            shown = shown_error(error)
            log_failure(shown, error, scope["method"], scope["path"])
            if not status:
                status = shown.status
                await send_error(send, shown)
        TALLY.count_other(template_of(scope["path"]), str(status))

    def _find(self, name: str) -> ServedModel:
        model = self._models.get_model(name)
        if model is None:
            raise ModelNotFoundError.named(name, self._models.get_models())
        return cast(ServedModel, model)


def _sizes(work: Work) -> Sizes:
    reply = work.reply
    pixels = int(reply.headers.get(PIXELS, 0))
    return Sizes(work.answered.instances, work.received_bytes, reply.size, pixels)


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}


def name_request(headers: dict[str, str]) -> str:
    """The request's own id, or a new one where it has none that can be used."""
    request_id = headers.get("x-request-id", "")
    if not REQUEST_ID.fullmatch(request_id):
        request_id = headers["x-request-id"] = new_request_id()
    return request_id


def new_request_id() -> str:
    """A UUID (version 4) whose first half is drawn once per process, and whose rest counts up."""
    return f"{_ID_PREFIX}{next(_id_numbers):012x}"


def _log_answer(
    head: Head,
    request_id: str,
    status: int,
    elapsed: float,
    work: Work | None,
    metered: dict[str, str],
) -> None:
    logger.info(
        "answered",
        extra={
            "request_id": request_id,
            "trace_id": trace_id_of(CURRENT.get()) or None,
            "method": head.method,
            "path": head.path,
            "status": status,
            "revision": work.answered.revision if work else None,
            "milliseconds": round(elapsed * 1000, 2),
            "instances": work.answered.instances if work else None,
            "account_id": head.headers.get(METERED),
            "content": metered.get(CONTENT),
        },
    )

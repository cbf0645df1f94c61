"""The HTTP edge: an ASGI middleware around KServe's application.

It answers the prediction routes itself, because KServe's own read a body of any size, answer
damaged requests with 500 and show the text of exceptions. Every other route stays KServe's.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import orjson
from fastapi.exceptions import RequestValidationError
from kserve import errors as kserve_errors
from kserve.model_repository import ModelRepository
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import (
    Internal,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ServingError,
    TooLarge,
    Unavailable,
    UnknownModel,
    Unsupported,
)
from serving.metrics import INSTANCES, REQUESTS, SECONDS
from serving.model import Answered, HttpRequest, Reply, ServedModel, revision_headers
from serving.settings import ServerSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE = re.compile(
    r"/(?:v1/models/(?P<v1>[^/:]+):(?P<verb>predict|explain)"
    r"|v2/models/(?P<v2>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer)"
)
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
BODY_SECONDS = 60.0
INLINE_BYTES = 128 << 10
"""Bodies up to this size are parsed on the event loop: a thread would cost more than it saves."""

logger = logging.getLogger("serving.http")


class Disconnected(Exception):
    """The client went away before its request was read; there is nobody to answer."""


class Edge:
    """ASGI middleware; see the module's docstring."""

    def __init__(self, app: Application, models: ModelRepository, settings: ServerSettings) -> None:
        self._app = app
        self._models = models
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        match = ROUTE.fullmatch(scope["path"])
        if match:
            await self._predict(match, scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _predict(
        self, match: re.Match[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        started = time.perf_counter()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        request_id = headers.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
            headers["x-request-id"] = request_id
        name = match["v1"] or match["v2"]
        protocol = "v1" if match["v1"] else "v2"
        answered: Answered | None = None
        try:
            model = self._find(name)
            if scope["method"] != "POST":
                raise MethodNotAllowed(
                    f"{scope['method']} is not allowed here; use POST", allow="POST"
                )
            if match["verb"] == "explain":
                raise Unsupported("this model has no explainer")
            model.require_ready()
            body = await self._read_body(headers, receive)
            request = HttpRequest(body, headers, scope["query_string"].decode("latin-1"))
            read = model.read_v1 if protocol == "v1" else model.read_v2
            if len(body) <= INLINE_BYTES:
                payload = read(request)
            else:
                payload = await asyncio.get_running_loop().run_in_executor(None, read, request)
            answer, _ = await model(payload, headers)
            answered = cast(Answered, answer.answered)
            if match["version"] not in (None, answered.revision):
                raise NotFound(
                    f"model {name} answered with revision {answered.revision}; "
                    f"{match['version']!r} is not what runs here"
                )
            reply = model.write_v1(answer) if protocol == "v1" else model.write_v2(answer)
            extra = {**reply.headers, **revision_headers(name, answered)}
            status = 200
        except Disconnected:
            return
        except Exception as error:
            shown = shown_error(error)
            log_failure(shown, error, scope, request_id)
            status, reply, extra = shown.status, error_reply(shown), shown.headers()
            answered = None
        elapsed = time.perf_counter() - started
        known = name if self._models.get_model(name) is not None else ""
        revision = answered.revision if answered else ""
        REQUESTS.labels(known, revision, protocol, str(status)).inc()
        if answered:
            SECONDS.labels(known, revision, protocol).observe(elapsed)
            INSTANCES.labels(known, revision).inc(answered.instances)
        await send_reply(send, status, reply, {"x-request-id": request_id, **extra})
        if self._settings.access_log:
            logger.info(
                "answered",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "revision": revision or None,
                    "milliseconds": round(elapsed * 1000, 2),
                },
            )

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
            log_failure(shown, error, scope, "")
            if not started:
                await send_reply(send, shown.status, error_reply(shown), shown.headers())

    def _find(self, name: str) -> ServedModel:
        model = self._models.get_model(name)
        if model is None:
            known = ", ".join(sorted(self._models.get_models()))
            raise UnknownModel(f"there is no model {name!r} here; there are: {known}")
        return cast(ServedModel, model)

    async def _read_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        limit = self._settings.max_body_bytes
        declared = headers.get("content-length", "")
        if len(declared) > 15 or (declared.isdecimal() and int(declared) > limit):
            raise TooLarge(f"the body has {declared[:15]} bytes; the limit is {limit}")
        try:
            return await asyncio.wait_for(_collect(receive, limit), BODY_SECONDS)
        except asyncio.TimeoutError:
            raise MalformedRequest(
                f"the body did not arrive within {BODY_SECONDS:.0f} seconds"
            ) from None


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body is larger than the limit of {limit} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


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


def log_failure(shown: ServingError, error: BaseException, scope: Scope, request_id: str) -> None:
    """A client's mistake is a warning without a traceback; ours comes with one."""
    level = logging.ERROR if isinstance(shown, Internal) else logging.WARNING
    logger.log(
        level,
        shown.message if level == logging.WARNING else "unexpected error",
        exc_info=error if level == logging.ERROR else None,
        extra={
            "request_id": request_id or None,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": shown.status,
            "code": shown.error_code,
        },
    )


def error_reply(error: ServingError) -> Reply:
    return Reply(orjson.dumps(error.as_json()))


async def send_reply(send: Send, status: int, reply: Reply, headers: dict[str, str]) -> None:
    raw = [(b"content-type", reply.media_type.encode())]
    raw.append((b"content-length", str(len(reply.body)).encode()))
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body})


async def render_error(request: Request, error: Exception) -> Response:
    """FastAPI's exception handler for every class: the same shape as the edge's."""
    shown = shown_error(error)
    log_failure(shown, error, request.scope, "")
    return Response(
        error_reply(shown).body,
        shown.status,
        shown.headers(),
        media_type="application/json",
    )

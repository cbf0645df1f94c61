"""What leaves a server over HTTP: replies, and the one shape of every error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from kserve import errors as kserve_errors
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import (
    InternalError,
    InvalidRequestError,
    MalformedRequestError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    ServingError,
    UnavailableError,
    UnsupportedError,
)
from serving.logs import LogRateLimiter
from serving.model import Reply, json_reply
from serving.spans import trace_id_of
from serving.tracing import CURRENT

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CHUNK_BYTES = 1 << 20
"""Most bytes of an answer that are handed to the server at a time."""

RENDERED = (
    ServingError,
    HTTPException,
    RequestValidationError,
    NotImplementedError,
    kserve_errors.InvalidInput,
    kserve_errors.InferenceError,
    kserve_errors.ModelNotFound,
    kserve_errors.ModelNotReady,
    kserve_errors.UnsupportedProtocol,
    kserve_errors.ServerNotLive,
    kserve_errors.ServerNotReady,
    Exception,
)
"""Classes that FastAPI is told to render by ``render_error``; KServe names some of them itself."""

logger = logging.getLogger("serving.http")
failures = LogRateLimiter(per_second=20)


def shown_error(error: BaseException) -> ServingError:
    """What a client is shown of any exception; of an unexpected one, nothing."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, kserve_errors.InvalidInput):
        return MalformedRequestError(str(error))
    if isinstance(error, kserve_errors.ModelNotFound):
        return ModelNotFoundError(str(error))
    if isinstance(
        error,
        (kserve_errors.ModelNotReady, kserve_errors.ServerNotReady, kserve_errors.ServerNotLive),
    ):
        return UnavailableError(str(error))
    if isinstance(error, (kserve_errors.UnsupportedProtocol, NotImplementedError)):
        return UnsupportedError(str(error))
    if isinstance(error, RequestValidationError):
        return InvalidRequestError("the request does not have the protocol's shape")
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            return MethodNotAllowedError("this method is not allowed here", allow=allow)
        return NotFoundError("there is nothing at this URL")
    return InternalError()


def log_failure(
    shown: ServingError, error: BaseException, method: str, path: str, request_id: str = ""
) -> None:
    """A client's mistake is a warning without a traceback; ours comes with one."""
    level = logging.ERROR if isinstance(shown, InternalError) else logging.WARNING
    left_out = failures.count(shown.error_code)
    if left_out is None:
        return
    logger.log(
        level,
        shown.message if level == logging.WARNING else "unexpected error",
        exc_info=error if level == logging.ERROR else None,
        extra={
            "request_id": request_id or None,
            "trace_id": trace_id_of(CURRENT.get()) or None,
            "method": method,
            "path": path[:200],
            "status": shown.status,
            "code": shown.error_code,
            "left_out": left_out or None,
        },
    )


def error_reply(error: ServingError) -> Reply:
    return json_reply(error.as_json())


async def send_reply(send: Send, status: int, reply: Reply, headers: dict[str, str]) -> None:
    raw = [(b"content-type", reply.media_type.encode())]
    raw.append((b"content-length", str(reply.size).encode()))
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if reply.size <= CHUNK_BYTES:
        body = reply.body + reply.rest if reply.rest else reply.body
        await send({"type": "http.response.body", "body": body})
        return
    # In chunks: a server that takes a large body whole holds it two or three times.
    left = reply.size
    for part in (memoryview(reply.body), reply.rest):
        for start in range(0, len(part), CHUNK_BYTES):
            chunk = bytes(part[start : start + CHUNK_BYTES])
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})


async def send_error(send: Send, error: ServingError) -> None:
    await send_reply(send, error.status, error_reply(error), error.headers())


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

"""How much a request may bring: every body is read here, before anything looks at it."""

from __future__ import annotations

import asyncio
import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 << 10
"""Forms and JSON documents of people; the largest that has a meaning is a tenth of it."""
BODY_SECONDS = 10.0
MAX_HEAD_BYTES = 64 << 10
"""Request line and headers; the edge in front takes less."""


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BodyLimit:
    """ASGI middleware that hands on whole bodies only, none of them large or slow.

    So no half-sent body holds a thread or a database connection, and nothing that parses it has
    to bound it again.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Headers(scope=scope), receive)
        except _RefusedError as refused:
            await _answer(send, refused)
            return
        if body is None:
            # The client has gone: there is nobody to answer.
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        declared = headers.get("content-length", "0")
        # Compared as text first: Python takes long over a number of many digits.
        if len(declared) > 12 or (declared.isdecimal() and int(declared) > self._max_bytes):
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._collect(receive), self._seconds)
        except asyncio.TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} seconds"
            raise _RefusedError(408, "too_slow", message) from None

    async def _collect(self, receive: Receive) -> bytes | None:
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._max_bytes:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> _RefusedError:
        message = f"the body is larger than the limit of {self._max_bytes} bytes"
        return _RefusedError(413, "too_large", message)


async def _answer(send: Send, refused: _RefusedError) -> None:
    body = json.dumps({"error": str(refused), "code": refused.code}).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # What is left of the body is not read.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""The short way of the hot route: from uvicorn's parser to the handler and back.

A prediction request that has arrived whole needs none of what ASGI brings for streams: a scope, a
message queue, two coroutines and four awaits a request. It goes to ``Edge.answer``, the handler
behind the ASGI way too, so that answers, errors, headers and metrics are the same. Whatever is
out of the ordinary (a body in several parts or chunks, a query, a request behind another on the
same connection, HTTP/1.0, an upgrade) takes the ASGI way.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
)

from common.routes import Route, find_route
from serving.http import Edge, Finished, Head, read_headers

MOST_HEADERS = 64


class _Cycle:
    """As much of uvicorn's cycle as its protocol asks of the one that is under way."""

    __slots__ = ("disconnected", "keep_alive", "response_complete", "task")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None

    @property
    def message_event(self) -> _Cycle:
        """Itself, which must not be an attribute: whatever refers to itself waits for the garbage
        collector, and its memory for use, where the next request could have both at once.
        """
        return self

    def set(self) -> None:
        """Of ``message_event``: nobody waits for messages here."""


class ShortProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, with a short way to ``Edge.answer``."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._edge = self.app if isinstance(self.app, Edge) and not self.root_path else None
        self._candidate: Head | None = None
        self._parts: list[bytes] = []
        self._short: _Cycle | None = None
        self._idle_since: float | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if self._short is not None and self._short.task is not None:
            self._short.task.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._candidate is not None and self.parser is not None:
            # The rest of the body is yet to come.
            self._take_the_long_way()

    def on_message_begin(self) -> None:
        # Of what uvicorn begins a request with, the scope is made where there is need of one.
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        self._candidate = self._short_head()
        self._parts = []
        if self._candidate is None:
            self._begin_the_long_way()

    def on_body(self, body: bytes) -> None:
        if self._candidate is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        head = self._candidate
        if head is None:
            super().on_message_complete()
            return
        assert self._edge is not None
        self._candidate = None
        cycle = _Cycle(self.parser.should_keep_alive())
        self.cycle = cycle  # type: ignore[assignment]  # duck-typed; see _Cycle
        refused = self._edge.refuse_at_once(head)
        if refused is not None:
            self._edge.refusals.add(partial(self._refuse, refused, cycle))
            return
        self._short = cycle
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        cycle.task = self.loop.create_task(self._respond(head, body, cycle))
        self.tasks.add(cycle.task)
        cycle.task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        # uvicorn begins a timer for every response and ends it with the next request; one that
        # looks at the clock when it rings need not be touched in between.
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._ring_after(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._ring_after(left)
        else:
            super().timeout_keep_alive_handler()

    def _ring_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _short_head(self) -> Head | None:
        """The request so far, if it may take the short way."""
        if (
            self._edge is None
            or self.expect_100_continue
            or len(self.headers) > MOST_HEADERS
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            return None
        found = _route_of(self.url)
        if found is None:
            return None
        headers = read_headers(self.headers)
        if "content-length" not in headers or "transfer-encoding" in headers:
            return None
        path, route = found
        return Head(route, "POST", path, headers)

    def _take_the_long_way(self) -> None:
        parts = self._parts
        self._candidate = None
        self._begin_the_long_way()
        for part in parts:
            super().on_body(part)

    def _begin_the_long_way(self) -> None:
        url, headers, continued = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, continued
        self.headers += headers
        super().on_headers_complete()

    async def _respond(self, head: Head, body: bytes, cycle: _Cycle) -> None:
        assert self._edge is not None
        try:
            raw = self._render(await self._edge.answer(head, body), cycle)
        except Exception as error:
            # The handler renders its own; what is left must at least end the connection.
            self.logger.error("Exception in the short way", exc_info=error)
            self.transport.close()
            return
        finally:
            self._short = None
        self._send(raw, cycle)

    def _refuse(self, refused: Finished, cycle: _Cycle) -> None:
        self._send(self._render(refused, cycle), cycle)

    def _send(self, raw: bytes, cycle: _Cycle) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        self.transport.write(raw)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _render(self, finished: Finished, cycle: _Cycle) -> bytes:
        status, reply, headers = finished
        # Request ids differ; all others come again and again, together.
        named, *others = headers.items()
        return b"".join(
            (
                STATUS_LINE[status],
                _server_lines(*self.server_state.default_headers),
                _same_headers(("content-type", reply.media_type)),
                b"content-length: %d\r\n" % reply.size,
                _header(*named),
                _same_headers(*others),
                b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n",
                reply.body,
                reply.rest,
            )
        )


@lru_cache(maxsize=256)
def _route_of(url: bytes) -> tuple[str, Route] | None:
    """Path and route of a plain URL: no query, no escapes."""
    path = url.decode("latin-1")
    if not path.isascii() or any(sign in path for sign in "?%#"):
        return None
    route = find_route(path)
    return None if route is None else (path, route)


def _header(name: str, value: str) -> bytes:
    """One header, checked as uvicorn checks it: nothing in it may end the line."""
    raw = value.encode("latin-1")
    if HEADER_VALUE_RE.search(raw):
        raise RuntimeError("Invalid HTTP header value.")
    return b"%b: %b\r\n" % (name.encode("latin-1"), raw)


@lru_cache(maxsize=1024)
def _same_headers(*headers: tuple[str, str]) -> bytes:
    return b"".join(_header(name, value) for name, value in headers)


@lru_cache(maxsize=4)
def _server_lines(*headers: tuple[bytes, bytes]) -> bytes:
    """The server's own headers, which change every second, with the date."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)

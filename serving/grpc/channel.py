"""The calling end: one connection that is made when it is needed, and made again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grpc import StatusCode

from serving.grpc.messages import (
    CODES,
    CONTENT_TYPE,
    MessageReader,
    RpcError,
    read_details,
    write_message,
    write_timeout,
)
from serving.http2 import frames
from serving.http2.connection import Connection, Stream
from serving.http2.fields import Fields, write_fields, write_same_fields
from serving.http2.frames import PREFACE, ErrorCode

T = TypeVar("T")

CONNECT_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""From a connection that failed to the next attempt, which all calls wait for."""

FIRST_STREAMS = 100
"""Calls at a time, until the server has said how many it takes. None takes less (RFC 9113, section
6.5.2, recommends so), and what it does not take has to be made again."""

FIRST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 0.05, 0.5

_BY_HTTP_STATUS = {
    "400": StatusCode.INTERNAL,
    "401": StatusCode.UNAUTHENTICATED,
    "403": StatusCode.PERMISSION_DENIED,
    "404": StatusCode.UNIMPLEMENTED,
    "429": StatusCode.UNAVAILABLE,
    "502": StatusCode.UNAVAILABLE,
    "503": StatusCode.UNAVAILABLE,
    "504": StatusCode.UNAVAILABLE,
}
"""gRPC's doc/http-grpc-status-mapping.md: of answers by somebody who speaks no gRPC."""

_BY_RESET = {
    ErrorCode.NO_ERROR: StatusCode.INTERNAL,
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


class NotTaken(RpcError):
    """The peer has not begun with the call, so that it may be made again whatever it does."""


@dataclass
class CallStream(Stream):
    """A call under way."""

    answer: asyncio.Future[memoryview] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    message: MessageReader | None = None


class ClientConnection(Connection):
    """One connection to a server.

    Args:
        most_received: bytes of an answer.
    """

    def __init__(self, most_received: int) -> None:
        super().__init__(
            min(most_received + frames.DEFAULT_WINDOW, frames.LARGEST_WINDOW),
            {frames.ENABLE_PUSH: 0},
        )
        self._most_received = most_received
        self._retired = False
        self._most_streams = FIRST_STREAMS
        self._settled = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def usable(self) -> bool:
        """Whether another call may begin, now or when there is room."""
        return not self._retired and not self.transport.is_closing()

    @property
    def full(self) -> bool:
        """Whether a call has to wait for ``room``."""
        return len(self.streams) >= self._most_streams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out.append(PREFACE)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._retired = True
        for stream in list(self.streams.values()):
            self._fail(stream, RpcError(StatusCode.UNAVAILABLE, "the connection was lost"))
        self.make_room()
        super().connection_lost(exc)

    def room(self) -> asyncio.Future[None]:
        """Done when one more call may begin, or none on this connection.

        Others may be faster: whoever waited looks again. Who then does not begin a call says so:
        ``make_room``.
        """
        waiting = self.loop.create_future()
        self._waiting.append(waiting)
        return waiting

    def make_room(self) -> None:
        """Let as many begin as may."""
        free = len(self._waiting) if self._retired else self._most_streams - len(self.streams)
        while self._waiting and free > 0:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                free -= 1

    def begin(self, block: bytes, message: bytes) -> CallStream:
        """Begin a call with these fields."""
        self.begun = self.begun + 2 if self.begun else 1
        if self.begun > frames.LARGEST_WINDOW - 2:
            self._retired = True  # no number is left for another
            self.make_room()
        stream = self.open(self.begun)
        assert isinstance(stream, CallStream)
        self.watch()
        self.send(stream, self.head(stream.id, block), write_message(message))
        return stream

    def give_up(self, stream: Stream) -> None:
        """End a call whose answer nobody waits for any more."""
        if stream.id in self.streams:
            self.reset(stream, ErrorCode.CANCEL)

    def close_stream(self, stream: Stream) -> None:
        super().close_stream(stream)
        self.make_room()
        self._close_if_done()

    def is_watched(self) -> bool:
        return bool(self.streams)

    def _new_stream(self, stream_id: int) -> Stream:
        return CallStream(stream_id, self._peer_window, self._stream_window)

    # What the server does.

    def fields_received(self, stream: int, fields: Fields, ended: bool) -> None:
        found = self._known(stream)
        if not isinstance(found, CallStream):
            return
        given = dict(fields)
        status = given.get(":status", "200")
        if status.startswith("1"):
            return
        if status != "200" and "grpc-status" not in given:
            code = _BY_HTTP_STATUS.get(status, StatusCode.UNKNOWN)
            if not ended:
                self.give_up(found)
            self._fail(found, RpcError(code, f"HTTP status {status}"))
        elif ended:
            self._ended(found, given)
        elif found.message is None:
            encoding = given.get("grpc-encoding", "identity")
            found.message = MessageReader(self._most_received, encoding)

    def too_many_fields(self, stream: int, ended: bool) -> None:
        found = self._known(stream)
        if found is not None:
            if not ended:
                self.give_up(found)
            self._fail(found, RpcError(StatusCode.INTERNAL, "the header fields are too large"))

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        assert isinstance(stream, CallStream)
        try:
            if stream.message is None:
                raise RpcError(StatusCode.INTERNAL, "content without fields")
            stream.message.feed(content)
            if ended:
                raise RpcError(StatusCode.INTERNAL, "an answer without a status")
        except RpcError as error:
            self.give_up(stream)
            self._fail(stream, error)

    def stream_reset(self, stream: Stream, code: int) -> None:
        status = StatusCode.INTERNAL
        with contextlib.suppress(ValueError):
            status = _BY_RESET.get(ErrorCode(code), StatusCode.INTERNAL)
        kind = NotTaken if code == ErrorCode.REFUSED_STREAM else RpcError
        self._fail(stream, kind(status, f"the stream was reset ({code})"))

    def going_away(self, last_stream: int) -> None:
        self._retired = True
        for stream in list(self.streams.values()):
            if stream.id > last_stream:
                self._fail(stream, NotTaken(StatusCode.UNAVAILABLE, "the server is going away"))
        self.make_room()
        self._close_if_done()

    def settings_received(self, most_streams: int | None) -> None:
        if most_streams is not None:
            self._most_streams = most_streams
        elif not self._settled:
            self._most_streams = frames.LARGEST_WINDOW
        self._settled = True
        self.make_room()

    def _ended(self, stream: CallStream, trailers: dict[str, str]) -> None:
        if not stream.sent:
            # It has answered before it has heard all, and need not hear the rest.
            self.write(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        if not stream.answer.done():
            try:
                stream.answer.set_result(_answer(stream.message, trailers))
            except RpcError as error:
                stream.answer.set_exception(error)
        self.close_stream(stream)

    def _fail(self, stream: Stream, error: RpcError) -> None:
        assert isinstance(stream, CallStream)
        if not stream.answer.done():
            stream.answer.set_exception(error)
        self.close_stream(stream)

    def _close_if_done(self) -> None:
        if self._retired and not self.streams:
            self.close()


def _answer(message: MessageReader | None, trailers: dict[str, str]) -> memoryview:
    """What came before the trailers.

    Raises:
        RpcError: their status is not OK, or there was nothing.
    """
    status = trailers.get("grpc-status", "")
    code = CODES.get(status)
    if code is not StatusCode.OK:
        details = read_details(trailers.get("grpc-message", ""))
        trailing = {k: v for k, v in trailers.items() if not k.startswith((":", "grpc-"))}
        raise RpcError(code or StatusCode.UNKNOWN, details, trailing)
    if message is None:
        raise RpcError(StatusCode.INTERNAL, "there is no answer")
    return message.finish()


class Channel:
    """Makes calls to one server, over one connection that all of them share.

    The name is looked up anew for every connection, and a call that finds none waits for one to
    be made, so a server that comes back is found at once.

    Args:
        target: ``host:port``.
        most_received: bytes of an answer.
        authority: host that a gateway routes by, where it is not the target's own.
        attempts: times that a call is made before ``UNAVAILABLE`` is passed on. Only for calls
            that may be made twice.
    """

    def __init__(
        self,
        target: str,
        most_received: int,
        *,
        use_ssl: bool = False,
        authority: str = "",
        attempts: int = 1,
    ) -> None:
        host, _, port = target.removeprefix("dns:///").rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{target!r} is no host:port")
        self._host, self._port = host.strip("[]"), int(port)
        self._most_received = most_received
        self._ssl = _client_context() if use_ssl else None
        self._scheme = "https" if use_ssl else "http"
        self._authority = authority or target.removeprefix("dns:///")
        self._attempts = attempts
        self._connection: ClientConnection | None = None
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._not_before = 0.0
        self._closed = False

    async def call(
        self,
        path: str,
        message: bytes,
        timeout_seconds: float,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> memoryview:
        """Send a message to a method; gives the answer's bytes.

        Args:
            timeout_seconds: for all attempts together.

        Raises:
            RpcError: any other status than OK.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        fields = write_fields(metadata)
        attempt = 1
        moved = False
        while True:
            try:
                return await self._once(path, message, deadline, fields)
            except RpcError as error:
                if isinstance(error, NotTaken) and not moved:
                    moved = True  # once at once: a server that goes away has another in its place
                    continue
                if error.code is not StatusCode.UNAVAILABLE or attempt >= self._attempts:
                    raise
                backoff = min(FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), MOST_BACKOFF_SECONDS)
                backoff *= random.uniform(0.8, 1.2)  # noqa: S311
                if loop.time() + backoff >= deadline:
                    raise
                attempt += 1
                await asyncio.sleep(backoff)

    async def close(self) -> None:
        """Hang up; calls under way fail, and so do later ones."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.fail(ErrorCode.NO_ERROR, "")
            self._connection = None

    async def _once(self, path: str, message: bytes, deadline: float, fields: bytes) -> memoryview:
        loop = asyncio.get_running_loop()
        connection = await self._usable(deadline)
        left = deadline - loop.time()
        if left <= 0:
            connection.make_room()
            raise _late()
        same = write_same_fields(self._same_fields(path))
        timeout = write_fields((("grpc-timeout", write_timeout(left)),))
        stream = connection.begin(same + timeout + fields, message)
        timer = loop.call_later(left, _expire, connection, stream)
        try:
            return await stream.answer
        except asyncio.CancelledError:
            connection.give_up(stream)
            raise
        finally:
            timer.cancel()

    async def _usable(self, deadline: float) -> ClientConnection:
        """A connection that a call may begin on now."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connect(deadline)
        while connection.usable and connection.full:
            try:
                await _by(connection.room(), deadline)
            except (RpcError, asyncio.CancelledError):
                connection.make_room()
                raise
        if not connection.usable:
            raise NotTaken(StatusCode.UNAVAILABLE, "the connection was lost before the call")
        return connection

    def _same_fields(self, path: str) -> Fields:
        return (
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", CONTENT_TYPE),
        )

    async def _connect(self, deadline: float) -> ClientConnection:
        if self._closed:
            raise _closed()
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._open())
            self._connecting.add_done_callback(self._opened)
        connecting = self._connecting
        try:
            return await _by(asyncio.shield(connecting), deadline)
        except asyncio.CancelledError:
            if self._closed and connecting.cancelled():
                raise _closed() from None
            raise

    async def _open(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        try:
            _, connection = await asyncio.wait_for(
                loop.create_connection(
                    lambda: ClientConnection(self._most_received),
                    self._host,
                    self._port,
                    ssl=self._ssl,
                ),
                CONNECT_SECONDS,
            )
        except (OSError, asyncio.TimeoutError) as error:
            self._not_before = loop.time() + PAUSE_SECONDS
            raise RpcError(StatusCode.UNAVAILABLE, f"no connection: {error}") from None
        self._connection = connection
        return connection

    def _opened(self, task: asyncio.Task[ClientConnection]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # whoever waited has it, and perhaps nobody did


def _client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    return context


async def _by(work: Awaitable[T], deadline: float) -> T:
    """What ``work`` gives by then; it is cancelled afterwards."""
    left = deadline - asyncio.get_running_loop().time()
    try:
        return await asyncio.wait_for(work, left)
    except asyncio.TimeoutError:
        raise _late() from None


def _late() -> RpcError:
    return RpcError(StatusCode.DEADLINE_EXCEEDED, "there was no answer in time")


def _closed() -> RpcError:
    return RpcError(StatusCode.CANCELLED, "the channel is closed")


def _expire(connection: ClientConnection, stream: CallStream) -> None:
    if not stream.answer.done():
        connection.give_up(stream)
        stream.answer.set_exception(_late())

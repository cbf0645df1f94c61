"""The calling end: one connection that is made when it is needed, and made again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

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

KEEPALIVE_SECONDS = 30.0
"""Silence, while calls are under way, after which the peer is asked for a sign of life."""

ANSWER_SECONDS = 5.0
"""How long it has for that."""

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
        self.usable = True
        self._most_received = most_received
        self.most_streams = frames.LARGEST_WINDOW
        self._waiting: list[asyncio.Future[None]] = []
        self._heard = 0.0
        self._keepalive: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(PREFACE)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self._keepalive is not None:
            self._keepalive.cancel()
        for stream in list(self.streams.values()):
            self._fail(stream, RpcError(StatusCode.UNAVAILABLE, "the connection was lost"))
        self._make_room()

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        super().data_received(data)

    async def room(self) -> None:
        """Wait until one more call may begin, or the connection is not to be used any more."""
        while self.usable and len(self.streams) >= self.most_streams:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def begin(self, block: bytes, message: bytes) -> CallStream:
        """Begin a call with these fields."""
        self.newest = self.newest + 2 if self.newest else 1
        if self.newest > frames.LARGEST_WINDOW - 2:
            self.usable = False  # no number is left for another
        stream = self.open(self.newest)
        assert isinstance(stream, CallStream)
        if self._keepalive is None:
            self._watch()
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream.id, block)
        self.send(stream, head, write_message(message))
        return stream

    def give_up(self, stream: Stream) -> None:
        """End a call whose answer nobody waits for any more."""
        if stream.id in self.streams:
            self.reset(stream, ErrorCode.CANCEL)
            self._make_room()

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
            self.give_up(found)
            self._fail(found, RpcError(code, f"HTTP status {status}"))
        elif ended:
            self._ended(found, given)
        elif found.message is None:
            encoding = given.get("grpc-encoding", "identity")
            found.message = MessageReader(self._most_received, encoding)

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
        self.usable = False
        for stream in list(self.streams.values()):
            if stream.id > last_stream:
                self._fail(stream, NotTaken(StatusCode.UNAVAILABLE, "the server is going away"))
        self._make_room()
        self._close_if_done()

    def peer_limits_streams(self, most: int) -> None:
        self.most_streams = most
        self._make_room()

    def _ended(self, stream: CallStream, trailers: dict[str, str]) -> None:
        self.close_stream(stream)
        if not stream.sent:
            # It has answered before it has heard all, and need not hear the rest.
            self._out.append(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        self._make_room()
        if not stream.answer.done():
            try:
                stream.answer.set_result(_answer(stream.message, trailers))
            except RpcError as error:
                stream.answer.set_exception(error)
        self._close_if_done()

    def _fail(self, stream: Stream, error: RpcError) -> None:
        assert isinstance(stream, CallStream)
        self.close_stream(stream)
        self._make_room()
        if not stream.answer.done():
            stream.answer.set_exception(error)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self.usable and not self.streams:
            self.transport.close()

    def _make_room(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # Whether it is still there.

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._keepalive = loop.call_later(KEEPALIVE_SECONDS, self._ask)

    def _ask(self) -> None:
        self._keepalive = None
        loop = asyncio.get_running_loop()
        if not self.streams:
            return  # the next call watches again
        silence = loop.time() - self._heard
        if silence < KEEPALIVE_SECONDS:
            self._keepalive = loop.call_later(KEEPALIVE_SECONDS - silence, self._ask)
            return
        self.ping()
        self._keepalive = loop.call_later(ANSWER_SECONDS, self._judge, self._heard)

    def _judge(self, heard: float) -> None:
        self._keepalive = None
        if self._heard == heard:
            self.transport.abort()
        elif self.streams:
            self._watch()


def _answer(message: MessageReader | None, trailers: dict[str, str]) -> memoryview:
    """What came before the trailers.

    Raises:
        RpcError: their status is not OK, or there was nothing.
    """
    status = trailers.get("grpc-status", "")
    code = CODES.get(int(status)) if status.isdecimal() else None
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
        attempt = 1
        moved = False
        while True:
            try:
                return await self._once(path, message, deadline, metadata)
            except NotTaken as error:
                if moved:
                    raise RpcError(error.code, error.details) from None
                moved = True  # once: a server that is going away has another in its place
            except RpcError as error:
                if error.code is not StatusCode.UNAVAILABLE or attempt >= self._attempts:
                    raise
                backoff = min(FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), MOST_BACKOFF_SECONDS)
                backoff *= random.uniform(0.8, 1.2)  # noqa: S311
                if loop.time() + backoff >= deadline:
                    raise
                attempt += 1
                await asyncio.sleep(backoff)

    async def close(self) -> None:
        """Hang up; calls under way fail."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.fail(ErrorCode.NO_ERROR, "")
            self._connection = None

    async def _once(
        self, path: str, message: bytes, deadline: float, metadata: Sequence[tuple[str, str]]
    ) -> memoryview:
        loop = asyncio.get_running_loop()
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connect(deadline)
        if len(connection.streams) >= connection.most_streams:
            await _by(connection.room(), deadline)
            if not connection.usable:
                raise NotTaken(StatusCode.UNAVAILABLE, "the connection is not used any more")
        left = deadline - loop.time()
        if left <= 0:
            raise _late()
        block = write_same_fields(self._same_fields(path)) + write_fields(
            [("grpc-timeout", write_timeout(left)), *metadata]
        )
        stream = connection.begin(block, message)
        timer = loop.call_later(left, _expire, connection, stream)
        try:
            return await stream.answer
        except asyncio.CancelledError:
            connection.give_up(stream)
            raise
        finally:
            timer.cancel()

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
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._open())
            self._connecting.add_done_callback(self._opened)
        return await _by(asyncio.shield(self._connecting), deadline)

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


def _expire(connection: ClientConnection, stream: CallStream) -> None:
    if not stream.answer.done():
        connection.give_up(stream)
        stream.answer.set_exception(_late())

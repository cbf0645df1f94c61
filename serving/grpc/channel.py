"""The calling end: one connection that is made when it is needed, and made again."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from grpc import StatusCode

from serving.grpc.client import CallStream, ClientConnection, NotTaken
from serving.grpc.messages import CONTENT_TYPE, RpcError, write_timeout
from serving.http2.fields import Fields, write_fields, write_same_fields
from serving.http2.frames import ErrorCode

T = TypeVar("T")

CONNECT_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""From a connection that failed to the next attempt, which all calls wait for."""

FIRST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 0.05, 0.5


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
        address = target.removeprefix("dns:///")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{target!r} is no host:port")
        self._host, self._port = host.strip("[]"), int(port)
        self._most_received = most_received
        self._ssl = _client_context() if use_ssl else None
        self._scheme = "https" if use_ssl else "http"
        self._authority = authority or address
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

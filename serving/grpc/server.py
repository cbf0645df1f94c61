"""The serving end: unary calls in, one task each, their answers out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from google.protobuf.message import DecodeError
from grpc import StatusCode

from serving.grpc.messages import (
    COMPRESSIONS,
    CONTENT_TYPE,
    MessageReader,
    RpcError,
    read_timeout,
    write_details,
    write_message,
)
from serving.http2 import frames
from serving.http2.connection import Connection, Stream
from serving.http2.fields import Fields, write_fields
from serving.http2.frames import PREFACE, ConnectionFault, ErrorCode

MOST_STREAMS = 1024
"""Calls under way on one connection. A gateway puts all of its callers on a few connections."""

DETAILS_CHARACTERS = 1024
"""Of a status message: it is a header field, and gateways cut those off."""

RECEIVE_SECONDS = SEND_SECONDS = 60.0
"""How long a message may take to come, and an answer to be taken."""

RESET_COST = 5
"""A call that is begun and given up costs a task (CVE-2023-44487)."""

CROSSING_SECONDS = 0.1
"""Between the announcement of a connection's end and its end."""

DRAIN_STEP_SECONDS = 0.01

_ACCEPTS = ",".join(["identity", *COMPRESSIONS])
_BEGIN = write_fields(
    [(":status", "200"), ("content-type", CONTENT_TYPE), ("grpc-accept-encoding", _ACCEPTS)]
)
_DONE = write_fields([("grpc-status", "0")])
_NOT_GRPC = write_fields([(":status", "415")])

logger = logging.getLogger("serving.grpc")


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        read: a request from its bytes; raises ``DecodeError``.
        answer: the response message; raises ``RpcError`` for any status but OK.
    """

    read: Callable[[memoryview], Any]
    answer: Callable[[Any, Call], Awaitable[Any]]


class Call:
    """What a method may know of its call and say besides its answer: gRPC's servicer context."""

    def __init__(self, metadata: Fields) -> None:
        self._metadata = metadata
        self._trailing: dict[str, str] = {}

    def invocation_metadata(self) -> Fields:
        return self._metadata

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._trailing = dict(metadata)

    async def abort(self, code: StatusCode, details: str) -> NoReturn:
        """End the call with a status other than OK."""
        raise RpcError(code, details, self._trailing)


@dataclass
class CallStream(Stream):
    """A call under way.

    Attributes:
        deadline: what the client set, in the loop's time.
        until: what ``timer`` is set to.
        late: its task was cancelled over that.
        held: bytes that count as the service's ``held``.
    """

    method: Method | None = None
    message: MessageReader | None = None
    call: Call | None = None
    deadline: float | None = None
    task: asyncio.Task[None] | None = None
    until: float | None = None
    timer: asyncio.TimerHandle | None = None
    late: bool = False
    held: int = 0


@dataclass
class Service:
    """What all connections of a server share.

    Attributes:
        methods: by path, as in ``/package.Service/Method``.
        most_received, most_sent: bytes of a message.
        most_held: bytes that may be ``held``; more is refused, but for a message that is alone.
        connections: those that are open.
        held: bytes of messages that are not whole and of answers that are not taken, on all of
            them.
    """

    methods: Mapping[str, Method]
    most_received: int
    most_sent: int
    most_held: int
    connections: set[ServerConnection] = field(default_factory=set)
    held: int = 0

    async def drain(self, grace_seconds: float) -> None:
        """Take no more calls; let those under way end, but not for longer than that."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_seconds
        for connection in list(self.connections):
            connection.announce_end()
        # Calls that cross the announcement are answered.
        await asyncio.sleep(min(CROSSING_SECONDS, grace_seconds))
        for connection in list(self.connections):
            connection.end()
        while self.connections and loop.time() < end:
            await asyncio.sleep(DRAIN_STEP_SECONDS)
        for connection in list(self.connections):
            connection.transport.abort()


class ServerConnection(Connection):
    """One client's connection."""

    reset_cost = RESET_COST

    def __init__(self, service: Service) -> None:
        super().__init__(
            min(service.most_received + frames.DEFAULT_WINDOW, frames.LARGEST_WINDOW),
            {frames.MAX_CONCURRENT_STREAMS: MOST_STREAMS},
        )
        self._service = service
        self._preface = PREFACE
        self._draining = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._service.connections.add(self)
        self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._service.connections.discard(self)
        for stream in list(self.streams.values()):
            self.close_stream(stream)
            self.stream_reset(stream, ErrorCode.CANCEL)

    def data_received(self, data: bytes) -> None:
        if self._preface:
            part, data = data[: len(self._preface)], data[len(self._preface) :]
            if not self._preface.startswith(part):
                self.transport.close()  # HTTP/1.1, or no HTTP at all
                return
            self._preface = self._preface[len(part) :]
        super().data_received(data)

    def hang_up(self) -> None:
        """Say that nothing follows, and wait for the client to hang up.

        It may still send: windows for the last answers, say. A socket that is closed would be reset
        over those, and the client lose what it has not read.
        """
        try:
            self.transport.write_eof()
        except (OSError, NotImplementedError):  # it is gone; TLS has no such end
            self.transport.close()

    def close_stream(self, stream: Stream) -> None:
        assert isinstance(stream, CallStream)
        super().close_stream(stream)
        self._hold(stream, -stream.held)
        if stream.timer is not None:
            stream.timer.cancel()
        self._close_if_done()

    def announce_end(self) -> None:
        """Ask the client to call elsewhere."""
        self.write(frames.goaway(frames.LARGEST_WINDOW, ErrorCode.NO_ERROR))

    def end(self) -> None:
        """Take no further call, and hang up after the last."""
        self._draining = True
        self.write(frames.goaway(self.newest, ErrorCode.NO_ERROR))
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._draining and not self.streams:
            self.close()

    def _new_stream(self, stream_id: int) -> Stream:
        return CallStream(stream_id, self._peer_window, self._stream_window)

    # What the client does.

    def fields_received(self, stream: int, fields: Fields, ended: bool) -> None:
        if stream <= self.begun:
            self._trailers_received(stream, ended)
            return
        found = self._accept(stream)
        if found is None:
            return
        given = dict(fields)
        if given.get(":method") != "POST" or not _is_grpc(given.get("content-type", "")):
            self._end(found, self.head(stream, _NOT_GRPC, True), not ended)
            return
        try:
            self._begin(found, fields, given)
        except RpcError as error:
            self._refuse(found, error, not ended)
            return
        if ended:
            self._message_complete(found)

    def too_many_fields(self, stream: int, ended: bool) -> None:
        found = self.streams.get(stream) if stream <= self.begun else self._accept(stream)
        if isinstance(found, CallStream):
            error = RpcError(StatusCode.RESOURCE_EXHAUSTED, "the header fields are too large")
            self._refuse(found, error, not ended)

    def _accept(self, stream_id: int) -> CallStream | None:
        """A stream for a new call; None where none is taken."""
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams are odd")
        self.begun = stream_id
        if self._draining:
            return None  # it reads in the GOAWAY that nobody has seen this one
        self.newest = stream_id
        if len(self.streams) >= MOST_STREAMS:
            self._out.append(frames.rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            return None
        found = self.open(stream_id)
        assert isinstance(found, CallStream)
        return found

    def _trailers_received(self, stream_id: int, ended: bool) -> None:
        stream = self._known(stream_id)
        if not isinstance(stream, CallStream):
            return
        if not ended:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "trailers end a stream")
        self._message_complete(stream)

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        assert isinstance(stream, CallStream)
        if stream.message is None:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "content after the end")
        try:
            self._hold(stream, len(content))
            stream.message.feed(content)
        except RpcError as error:
            self._refuse(stream, error, not ended)
            return
        if ended:
            self._message_complete(stream)

    def stream_reset(self, stream: Stream, code: int) -> None:
        assert isinstance(stream, CallStream)
        if stream.task is not None:
            stream.task.cancel()

    def _begin(self, stream: CallStream, fields: Fields, given: dict[str, str]) -> None:
        timeout = read_timeout(given.get("grpc-timeout", ""))
        if timeout is not None:
            stream.deadline = self.loop.time() + timeout
        self._allow(stream, RECEIVE_SECONDS)
        stream.message = MessageReader(
            self._service.most_received, given.get("grpc-encoding", "identity")
        )
        path = given.get(":path", "")
        stream.method = self._service.methods.get(path)
        if stream.method is None:
            raise RpcError(StatusCode.UNIMPLEMENTED, f"there is no method {path[:200]}")
        stream.call = Call(tuple(item for item in fields if not _is_reserved(item[0])))

    def _message_complete(self, stream: CallStream) -> None:
        if stream.message is None or stream.method is None or stream.call is None:
            return
        try:
            message = stream.message.finish()
        except RpcError as error:
            self._refuse(stream, error)
            return
        stream.message = None
        self._hold(stream, -stream.held)
        self._allow(stream, None)
        stream.task = self.loop.create_task(
            self._answer(stream, stream.method, message, stream.call)
        )

    def _hold(self, stream: CallStream, size: int) -> None:
        """Count bytes that wait for a client.

        Raises:
            RpcError: they are too many.
        """
        service = self._service
        if size > 0 and service.held > stream.held and service.held + size > service.most_held:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "too many bytes are in progress")
        stream.held += size
        service.held += size

    def _allow(self, stream: CallStream, seconds: float | None) -> None:
        """End a stream at its deadline, or after that time if it is sooner."""
        at = stream.deadline
        if seconds is not None:
            last = self.loop.time() + seconds
            at = last if at is None else min(at, last)
        if at == stream.until:
            return
        if stream.timer is not None:
            stream.timer.cancel()
        stream.until = at
        stream.timer = None if at is None else self.loop.call_at(at, self._too_late, stream)

    def _too_late(self, stream: CallStream) -> None:
        if stream.unsent:
            self.reset(stream, ErrorCode.CANCEL)
        elif stream.task is not None:
            stream.late = True
            stream.task.cancel()
        else:
            self._refuse(stream, _late(), True)

    # What is answered.

    async def _answer(
        self, stream: CallStream, method: Method, message: memoryview, call: Call
    ) -> None:
        try:
            try:
                request = method.read(message)
            except DecodeError:
                raise RpcError(StatusCode.INVALID_ARGUMENT, "the message is damaged") from None
            del message  # it may be large, and the answer may take a while
            response = await method.answer(request, call)
            content: bytes = response.SerializeToString()
            if len(content) > self._service.most_sent:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"the answer has {len(content)} bytes; the limit is {self._service.most_sent}",
                )
        except RpcError as error:
            self._refuse(stream, error)
        except asyncio.CancelledError:
            if not stream.late:
                raise
            self._refuse(stream, _late())
        except Exception:
            logger.exception("unexpected error")
            self._refuse(stream, RpcError(StatusCode.INTERNAL, "internal error"))
        else:
            self._send(stream, content)

    def _send(self, stream: CallStream, content: bytes) -> None:
        if stream.id not in self.streams:
            return
        self.send(
            stream,
            self.head(stream.id, _BEGIN),
            write_message(content),
            self.head(stream.id, _DONE, True),
        )
        if stream.sent:
            self.close_stream(stream)
            return
        try:
            self._hold(stream, len(content))
        except RpcError:
            self.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
        else:
            self._allow(stream, SEND_SECONDS)

    def _refuse(self, stream: CallStream, error: RpcError, more: bool = False) -> None:
        """Answer with a status alone.

        Args:
            more: the client is not done with its message, and need not go on.
        """
        if stream.id not in self.streams:
            return
        fields = [
            (":status", "200"),
            ("content-type", CONTENT_TYPE),
            ("grpc-status", str(error.code.value[0])),
            ("grpc-message", write_details(error.details[:DETAILS_CHARACTERS])),
            ("grpc-accept-encoding", _ACCEPTS),
            *error.trailing.items(),
        ]
        self._end(stream, self.head(stream.id, write_fields(fields), True), more)

    def _end(self, stream: CallStream, head: bytes, more: bool) -> None:
        if more:
            head += frames.rst_stream(stream.id, ErrorCode.NO_ERROR)
        self.write(head)
        self.close_stream(stream)

    def stream_sent(self, stream: Stream) -> None:
        self.close_stream(stream)


def _is_grpc(kind: str) -> bool:
    return kind.startswith(CONTENT_TYPE) and kind[len(CONTENT_TYPE) :][:1] in ("", "+", ";")


def _is_reserved(name: str) -> bool:
    return name.startswith((":", "grpc-")) or name in ("te", "content-type")


def _late() -> RpcError:
    return RpcError(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")

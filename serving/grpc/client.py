"""One connection to a server, from the calling end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

from grpc import StatusCode

from serving.grpc.messages import CODES, MessageReader, RpcError, read_details, write_message
from serving.http2 import frames
from serving.http2.connection import Connection, Stream
from serving.http2.fields import Fields
from serving.http2.frames import PREFACE, ErrorCode

FIRST_STREAMS = 100
"""Calls at a time, until the server has said how many it takes. None takes less (RFC 9113, section
6.5.2, recommends so), and what it does not take has to be made again."""

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
            self._fail(found, RpcError(code, f"HTTP status {status}"), not ended)
        elif ended:
            self._ended(found, given)
        elif found.message is None:
            encoding = given.get("grpc-encoding", "identity")
            found.message = MessageReader(self._most_received, encoding)

    def too_many_fields(self, stream: int, ended: bool) -> None:
        found = self._known(stream)
        if found is not None:
            error = RpcError(StatusCode.INTERNAL, "the header fields are too large")
            self._fail(found, error, not ended)

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        assert isinstance(stream, CallStream)
        try:
            if stream.message is None:
                raise RpcError(StatusCode.INTERNAL, "content without fields")
            stream.message.feed(content)
            if ended:
                raise RpcError(StatusCode.INTERNAL, "an answer without a status")
        except RpcError as error:
            self._fail(stream, error, True)

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

    def _fail(self, stream: Stream, error: RpcError, more: bool = False) -> None:
        """End a call with an error.

        Args:
            more: the server is not done with its answer, and need not go on.
        """
        assert isinstance(stream, CallStream)
        if more:
            self.write(frames.rst_stream(stream.id, ErrorCode.CANCEL))
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

"""One connection, from either end: frames in, flow control, frames out.

What the streams mean is the subclass's matter. Nothing waits: what may not be sent yet, because a
window is closed or the socket is full, stays with its stream and goes out when that changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from serving.http2 import frames
from serving.http2.fields import MOST_BYTES, FieldReader, Fields
from serving.http2.frames import ConnectionFault, ErrorCode, Frame, FrameReader

FRAME_BYTES = 64 << 10
"""Largest payload that is taken; of those allowed to both sides, each its own is sent."""

CONNECTION_WINDOW = 64 << 20
"""Bytes that may be under way to this end before it has said that it took them. A stream has a
window of its own, of the largest message; this one only must not be the narrower."""

MOST_ANSWERS = 10_000
"""PINGs and SETTINGS that are answered while the peer takes nothing: more is an attack."""


@dataclass
class Stream:
    """One call. A subclass of ``Connection`` may keep more with it.

    Attributes:
        window_out: bytes that the peer takes; below 0 where it shrank its window afterwards.
        window_in: bytes that the peer may still send.
        unsent: what waits for a window or the socket.
        last: frames that follow it; empty where its last frame ends the stream.
        sent: everything has been handed to the socket.
    """

    id: int
    window_out: int
    window_in: int
    unsent: list[memoryview] = field(default_factory=list)
    last: bytes = b""
    sent: bool = False


class Connection(asyncio.Protocol):
    """What both ends of a connection have in common.

    Args:
        stream_window: most bytes of one stream on their way in; a stream of more is reset.
        settings: what is announced beside the window and the frame size.
    """

    transport: asyncio.Transport

    def __init__(self, stream_window: int, settings: dict[int, int]) -> None:
        self.streams: dict[int, Stream] = {}
        self.newest = 0
        self._stream_window = stream_window
        self._announced = {
            frames.HEADER_TABLE_SIZE: 0,
            frames.INITIAL_WINDOW_SIZE: stream_window,
            frames.MAX_FRAME_SIZE: FRAME_BYTES,
            frames.MAX_HEADER_LIST_SIZE: MOST_BYTES,
            **settings,
        }
        self._reader = FrameReader(FRAME_BYTES)
        self._field_reader = FieldReader()
        self._block: tuple[int, bool, bytearray] | None = None
        self._window_in = CONNECTION_WINDOW
        self._taken = 0
        self._window_out = frames.DEFAULT_WINDOW
        self._peer_window = frames.DEFAULT_WINDOW
        self._peer_frame = frames.DEFAULT_FRAME
        self._blocked: dict[int, Stream] = {}
        self._full = False
        self._answers = 0
        self._out: list[bytes | memoryview] = []
        self._reading = False

    # What a subclass does.

    def fields_received(self, stream: int, fields: Fields, ended: bool) -> None:
        """A stream begins, or its trailers have come."""
        raise NotImplementedError

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        """Bytes of a stream that is known here; the view is invalid afterwards."""
        raise NotImplementedError

    def stream_reset(self, stream: Stream, code: int) -> None:
        """The peer gave a stream up; it is no longer known here."""
        raise NotImplementedError

    def going_away(self, last_stream: int) -> None:
        """The peer takes no streams after this one."""

    def peer_limits_streams(self, most: int) -> None:
        """The peer takes so many at a time."""

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has another base
        increment = CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        self.write(frames.settings(self._announced) + frames.window_update(0, increment))

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except ConnectionFault as fault:
            self.fail(fault.code, str(fault))
        finally:
            self._reading = False
            self.flush()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._answers = 0
        self._go_on()
        self.flush()

    # Sending.

    def write(self, *parts: bytes | memoryview) -> None:
        """Hand frames to the socket: at once, or together when all that came has been read."""
        self._out += parts
        if not self._reading:
            self.flush()

    def flush(self) -> None:
        if self._out:
            if not self.transport.is_closing():
                if len(self._out) == 1:
                    self.transport.write(self._out[0])
                else:
                    self.transport.writelines(self._out)
            self._out = []

    def open(self, stream_id: int) -> Stream:
        """Begin to keep a stream."""
        stream = self._new_stream(stream_id)
        self.streams[stream_id] = stream
        return stream

    def _new_stream(self, stream_id: int) -> Stream:
        return Stream(stream_id, self._peer_window, self._stream_window)

    def close_stream(self, stream: Stream) -> None:
        """Forget a stream, and what of it is not sent."""
        self.streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)

    def send(
        self, stream: Stream, before: bytes, content: list[memoryview], last: bytes = b""
    ) -> None:
        """Send frames, then content as far as the windows allow and the rest when they do.

        Args:
            before: whole frames.
            content: what DATA frames carry.
            last: whole frames, the last of which ends the stream; empty: the last DATA does.
        """
        self._out.append(before)
        stream.unsent, stream.last = content, last
        if not self._push(stream):
            self._blocked[stream.id] = stream
        if not self._reading:
            self.flush()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream on both sides."""
        self.close_stream(stream)
        self.write(frames.rst_stream(stream.id, code))

    def fail(self, code: ErrorCode, text: str) -> None:
        """Say why and hang up."""
        self.write(frames.goaway(self.newest, code, text))
        self.flush()
        self.transport.close()

    def ping(self) -> None:
        self.write(frames.frame(frames.PING, 0, 0, bytes(8)))

    def _push(self, stream: Stream) -> bool:
        """Send what of a stream may be sent; whether that is all."""
        while stream.unsent:
            room = min(self._window_out, stream.window_out, self._peer_frame)
            if room <= 0 or self._full:
                return False
            part = stream.unsent[0]
            if len(part) > room:
                piece, stream.unsent[0] = part[:room], part[room:]
            else:
                piece = part
                stream.unsent.pop(0)
            ends = not stream.unsent and not stream.last
            flags = frames.END_STREAM if ends else 0
            self._out.append(frames.head(frames.DATA, flags, stream.id, len(piece)))
            self._out.append(piece)
            self._window_out -= len(piece)
            stream.window_out -= len(piece)
            if len(piece) > frames.DEFAULT_FRAME and not self._reading:
                self.flush()  # so that the socket can say that it is full
        if stream.last:
            self._out.append(stream.last)
        stream.sent = True
        return True

    def _go_on(self) -> None:
        for stream in list(self._blocked.values()):
            if self._push(stream):
                self._blocked.pop(stream.id, None)
                self.stream_sent(stream)

    def stream_sent(self, stream: Stream) -> None:
        """What had to wait of a stream has been sent."""

    # Receiving.

    def _take(self, frame: Frame) -> None:
        kind = frame.kind
        expected = None if self._block is None else (frames.CONTINUATION, self._block[0])
        if expected is not None and (kind, frame.stream) != expected:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a list of fields was interrupted")
        if kind == frames.DATA:
            self._take_data(frame)
        elif kind == frames.HEADERS:
            self._take_headers(frame)
        elif kind == frames.WINDOW_UPDATE:
            self._take_window_update(frame)
        elif kind == frames.PING:
            self._take_ping(frame)
        elif kind == frames.SETTINGS:
            self._take_settings(frame)
        elif kind == frames.RST_STREAM:
            self._take_reset(frame)
        elif kind == frames.GOAWAY:
            self.going_away(frames.read_word(frame.payload) & frames.LARGEST_WINDOW)
        elif kind == frames.CONTINUATION:
            self._take_continuation(frame)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "nobody may push")

    def _take_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self._window_in -= size
        if self._window_in < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the window")
        self._taken += size
        if self._taken >= CONNECTION_WINDOW // 2:
            self._out.append(frames.window_update(0, self._taken))
            self._window_in += self._taken
            self._taken = 0
        stream = self._known(frame.stream)
        if stream is None:
            return
        stream.window_in -= size
        if stream.window_in < 0:
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
            self.stream_reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        self.content_received(stream, frame.content(), bool(frame.flags & frames.END_STREAM))

    def _take_headers(self, frame: Frame) -> None:
        if frame.stream == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "fields of no stream")
        ended = bool(frame.flags & frames.END_STREAM)
        if frame.flags & frames.END_HEADERS:
            self._have_fields(frame.stream, ended, bytes(frame.content()))
        else:
            self._block = (frame.stream, ended, bytearray(frame.content()))

    def _take_continuation(self, frame: Frame) -> None:
        if self._block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "nothing is continued")
        stream, ended, block = self._block
        block += frame.payload
        ends = frame.flags & frames.END_HEADERS
        if len(block) > MOST_BYTES or not (frame.payload or ends):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "fields without an end")
        if ends:
            self._block = None
            self._have_fields(stream, ended, bytes(block))

    def _have_fields(self, stream: int, ended: bool, block: bytes) -> None:
        # Even of a stream that nobody wants: the next block may build on this one.
        self.fields_received(stream, self._field_reader.read(block), ended)

    def _take_window_update(self, frame: Frame) -> None:
        increment = frames.read_word(frame.payload) & frames.LARGEST_WINDOW
        if frame.stream == 0:
            self._window_out += increment
            if not increment or self._window_out > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an odd window")
        else:
            stream = self._known(frame.stream)
            if stream is None:
                return
            stream.window_out += increment
            if not increment or stream.window_out > frames.LARGEST_WINDOW:
                self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
                self.stream_reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
                return
        self._go_on()

    def _take_ping(self, frame: Frame) -> None:
        if len(frame.payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a PING has eight bytes")
        if not frame.flags & frames.ACK:
            self._respond(frames.frame(frames.PING, frames.ACK, 0, bytes(frame.payload)))

    def _take_settings(self, frame: Frame) -> None:
        if frame.flags & frames.ACK:
            return
        for setting, value in frames.read_settings(frame.payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an odd window")
                for stream in self.streams.values():
                    stream.window_out += value - self._peer_window
                self._peer_window = value
            elif setting == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME <= value <= frames.LARGEST_FRAME:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "an odd frame size")
                self._peer_frame = min(value, FRAME_BYTES)
            elif setting == frames.MAX_CONCURRENT_STREAMS:
                self.peer_limits_streams(value)
        self._respond(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._go_on()

    def _take_reset(self, frame: Frame) -> None:
        code = frames.read_word(frame.payload)
        stream = self._known(frame.stream)
        if stream is not None:
            self.close_stream(stream)
            self.stream_reset(stream, code)

    def _known(self, stream_id: int) -> Stream | None:
        """The stream of a frame; None where it has ended and the frame crossed its end."""
        if stream_id == 0 or stream_id > self.newest:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame of no stream")
        return self.streams.get(stream_id)

    def _respond(self, frame: bytes) -> None:
        if self._full:
            self._answers += 1
            if self._answers > MOST_ANSWERS:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "asks, and takes no answers")
        self._out.append(frame)

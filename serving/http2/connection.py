"""One connection, from either end: frames in, flow control, frames out.

What the streams mean is the subclass's matter. Nothing waits: what may not be sent yet, because a
window is closed or the socket is full, stays with its stream and goes out when that changes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import cast

from serving.http2 import frames
from serving.http2.fields import (
    MOST_BYTES,
    MOST_READ_BYTES,
    NO_TABLE,
    FieldReader,
    Fields,
    TooManyFields,
)
from serving.http2.frames import ConnectionFault, ErrorCode, Frame, FrameReader

FRAME_BYTES = 64 << 10
"""Largest payload that is taken; of those allowed to both sides, each its own is sent."""

CONNECTION_WINDOW = 64 << 20
"""Bytes that may be under way to this end before it has said that it took them. A stream has a
window of its own, of the largest message; this one only must not be the narrower."""

BATCH_BYTES = 64 << 10
"""Of content that is handed to the socket at once; then it may say that it is full."""

MOST_UNSENT = 16 << 20
"""Bytes that wait in the socket. Content does not, once that is full: these are answers to a peer
that asks and asks, and takes none of them."""

MOST_IDLE_FRAMES = 10_000
"""Frames in a second that bring nothing and cost a little: PING, empty DATA and the like. One
more is allowed for each KiB of content that is sent, since windows are opened for that."""

SETTINGS_COST = 50
"""Such frames that a SETTINGS counts for: a new window is a look at every stream."""

KEEPALIVE_SECONDS = 30.0
"""Silence after which the peer is asked for a sign of life."""

ANSWER_SECONDS = 5.0
"""How long it has for that."""

LINGER_SECONDS = 5.0
"""How long a connection that is closed here waits for the peer to take what is on its way."""


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

    Attributes:
        begun: number of the latest stream.
        newest: of those that the peer began, the latest that is answered.
        heard: when something came, in the loop's time.
        reset_cost: frames that bring nothing, that an RST_STREAM counts for.
    """

    reset_cost = 1

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop

    def __init__(self, stream_window: int, settings: dict[int, int]) -> None:
        self.streams: dict[int, Stream] = {}
        self.begun = 0
        self.newest = 0
        self.heard = 0.0
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
        self._blocked: OrderedDict[int, Stream] = OrderedDict()
        self._full = False
        self._out: list[bytes | memoryview] = []
        self._batch = 0
        self._reading = False
        self._hung_up = False
        self._first_block = NO_TABLE
        self._idle_frames = 0
        self._second = 0.0
        self._keepalive: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None

    # What a subclass does.

    def fields_received(self, stream: int, fields: Fields, ended: bool) -> None:
        """A stream begins, or its trailers have come."""
        raise NotImplementedError

    def too_many_fields(self, stream: int, ended: bool) -> None:
        """The same, with more than is taken."""
        raise NotImplementedError

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        """Bytes of a stream that is known here; the view is invalid afterwards."""
        raise NotImplementedError

    def stream_reset(self, stream: Stream, code: int) -> None:
        """The peer gave a stream up; it is no longer known here."""
        raise NotImplementedError

    def going_away(self, last_stream: int) -> None:
        """The peer takes no streams after this one."""

    def settings_received(self, most_streams: int | None) -> None:
        """The peer takes so many streams at a time; None where it did not say."""

    def is_watched(self) -> bool:
        """Whether it matters now that the peer is still there."""
        return True

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has another base
        self.loop = asyncio.get_running_loop()
        self.heard = self.loop.time()
        increment = CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        self.write(frames.settings(self._announced) + frames.window_update(0, increment))

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._keepalive, self._linger):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._hung_up or self.transport.is_closing():
            return  # TLS goes on reading for a while, too
        self.heard = self.loop.time()
        if self.heard - self._second >= 1:
            self._second, self._idle_frames = self.heard, 0
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
            if not self._hung_up and not self.transport.is_closing():
                if len(self._out) == 1:
                    self.transport.write(self._out[0])
                else:
                    self.transport.writelines(self._out)
                if self._full and self.transport.get_write_buffer_size() > MOST_UNSENT:
                    self.transport.abort()
            self._out = []
            self._batch = 0

    def head(self, stream_id: int, block: bytes, ends: bool = False) -> bytes:
        """The frame with a stream's fields; to be sent in the order in which they are made."""
        if self._first_block:
            block, self._first_block = self._first_block + block, b""
        flags = frames.END_HEADERS | (frames.END_STREAM if ends else 0)
        return frames.frame(frames.HEADERS, flags, stream_id, block)

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
            self._wait(stream)
        if not self._reading:
            self.flush()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream on both sides."""
        self.write(frames.rst_stream(stream.id, code))
        self.close_stream(stream)

    def fail(self, code: ErrorCode, text: str) -> None:
        """Say why and hang up."""
        self.write(frames.goaway(self.newest, code, text))
        self.close()

    def close(self) -> None:
        """Hang up once the peer has taken what is written, or does not take it for a while."""
        self.flush()
        if not self._hung_up and not self.transport.is_closing():
            self._hung_up = True
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
            self.hang_up()

    def hang_up(self) -> None:
        self.transport.close()

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
            size = len(piece)
            ends = not stream.unsent and not stream.last
            flags = frames.END_STREAM if ends else 0
            self._out.append(frames.head(frames.DATA, flags, stream.id, size))
            self._out.append(piece)
            self._window_out -= size
            stream.window_out -= size
            self._idle_frames -= size >> 10
            self._batch += size
            if self._batch >= BATCH_BYTES:
                self.flush()
        if stream.last:
            self._out.append(stream.last)
        stream.sent = True
        return True

    def _wait(self, stream: Stream) -> None:
        """Put a stream behind those that wait for the connection; its own window says so itself."""
        if stream.window_out > 0:
            self._blocked[stream.id] = stream

    def _advance(self, stream: Stream) -> None:
        if self._push(stream):
            self._blocked.pop(stream.id, None)
            self.stream_sent(stream)
        else:
            self._wait(stream)

    def _go_on(self) -> None:
        """Send what waits, each stream in its turn."""
        while self._blocked and self._window_out > 0 and not self._full:
            self._advance(self._blocked.popitem(last=False)[1])

    def stream_sent(self, stream: Stream) -> None:
        """What had to wait of a stream has been sent."""

    # Whether the peer is still there.

    def watch(self) -> None:
        """Ask for a sign of life when there is none, until nothing is to be watched."""
        if self._keepalive is None:
            left = max(0.0, self.heard + KEEPALIVE_SECONDS - self.loop.time())
            self._keepalive = self.loop.call_later(left, self._ask)

    def _ask(self) -> None:
        self._keepalive = None
        if not self.is_watched():
            return
        if self.loop.time() - self.heard < KEEPALIVE_SECONDS:
            self.watch()
            return
        self.write(frames.frame(frames.PING, 0, 0, bytes(8)))
        self._keepalive = self.loop.call_later(ANSWER_SECONDS, self._judge, self.heard)

    def _judge(self, heard: float) -> None:
        self._keepalive = None
        if self.heard == heard:
            self.transport.abort()
        elif self.is_watched():
            self.watch()

    # Receiving.

    def _take(self, frame: Frame) -> None:
        kind = frame.kind
        expected = None if self._block is None else (frames.CONTINUATION, self._block[0])
        if expected is not None and (kind, frame.stream) != expected:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a list of fields was interrupted")
        if kind == frames.DATA:
            self._take_data(frame)
            return
        if kind == frames.HEADERS:
            self._take_headers(frame)
            return
        if kind == frames.CONTINUATION:
            self._take_continuation(frame)
            return
        frame.check()
        self._count(1)
        if kind == frames.WINDOW_UPDATE:
            self._take_window_update(frame)
        elif kind == frames.PING:
            if not frame.flags & frames.ACK:
                self._out.append(frames.frame(frames.PING, frames.ACK, 0, bytes(frame.payload)))
        elif kind == frames.SETTINGS:
            self._take_settings(frame)
        elif kind == frames.RST_STREAM:
            self._take_reset(frame)
        elif kind == frames.GOAWAY:
            self.going_away(frames.read_word(frame.payload) & frames.LARGEST_WINDOW)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "nobody may push")

    def _count(self, cost: int) -> None:
        self._idle_frames += cost
        if self._idle_frames > MOST_IDLE_FRAMES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "many frames that bring nothing")

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
        content = frame.content()
        ended = bool(frame.flags & frames.END_STREAM)
        if not content and not ended:
            self._count(1)
        if stream is None:
            return
        stream.window_in -= size
        if stream.window_in < 0:
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        padding = size - len(content)
        if padding and not ended:
            # The window is that of a message, and padding is none of it.
            stream.window_in += padding
            self._out.append(frames.window_update(stream.id, padding))
        self.content_received(stream, content, ended)

    def _break(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream over what the peer did with it."""
        self.reset(stream, code)
        self.stream_reset(stream, code)

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
        if len(block) > MOST_READ_BYTES or not (frame.payload or ends):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "fields without an end")
        if ends:
            self._block = None
            self._have_fields(stream, ended, bytes(block))

    def _have_fields(self, stream: int, ended: bool, block: bytes) -> None:
        # Even of a stream that nobody wants: the next block may build on this one.
        try:
            fields = self._field_reader.read(block)
        except TooManyFields:
            self.too_many_fields(stream, ended)
        else:
            self.fields_received(stream, fields, ended)

    def _take_window_update(self, frame: Frame) -> None:
        increment = frames.read_word(frame.payload) & frames.LARGEST_WINDOW
        if frame.stream == 0:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window opened by nothing")
            self._window_out += increment
            if self._window_out > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
            self._go_on()
            return
        stream = self._known(frame.stream)
        if stream is None:
            return
        stream.window_out += increment
        if not increment:
            self._break(stream, ErrorCode.PROTOCOL_ERROR)
        elif stream.window_out > frames.LARGEST_WINDOW:
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR)
        elif stream.unsent:
            self._advance(stream)

    def _take_settings(self, frame: Frame) -> None:
        if frame.flags & frames.ACK:
            return
        self._count(SETTINGS_COST)
        window, most_streams = self._peer_window, None
        for setting, value in frames.read_settings(frame.payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an odd window")
                window = value
            elif setting == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME <= value <= frames.LARGEST_FRAME:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "an odd frame size")
                self._peer_frame = min(value, FRAME_BYTES)
            elif setting == frames.MAX_CONCURRENT_STREAMS:
                most_streams = value
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if window != self._peer_window:
            self._change_windows(window)
        self.settings_received(most_streams)

    def _change_windows(self, window: int) -> None:
        """Apply the peer's new initial window, to the streams that there are as well."""
        change, self._peer_window = window - self._peer_window, window
        for stream in list(self.streams.values()):
            stream.window_out += change
            if stream.window_out > frames.LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
            if stream.window_out <= 0:
                self._blocked.pop(stream.id, None)
            elif stream.unsent:
                self._advance(stream)

    def _take_reset(self, frame: Frame) -> None:
        self._count(self.reset_cost)
        code = frames.read_word(frame.payload)
        stream = self._known(frame.stream)
        if stream is not None:
            self.close_stream(stream)
            self.stream_reset(stream, code)

    def _known(self, stream_id: int) -> Stream | None:
        """The stream of a frame; None where it has ended and the frame crossed its end."""
        if stream_id > self.begun or stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame of no stream")
        return self.streams.get(stream_id)

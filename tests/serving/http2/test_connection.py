from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.http2 import connection, frames
from serving.http2.connection import (
    BATCH_BYTES,
    CONNECTION_WINDOW,
    FRAME_BYTES,
    MOST_IDLE_FRAMES,
    MOST_UNSENT,
    Connection,
    Stream,
)
from serving.http2.fields import MOST_BYTES, MOST_READ_BYTES, NO_TABLE, Fields, write_fields
from serving.http2.frames import ConnectionFault, ErrorCode, FrameReader

WINDOW = 1 << 20
Seen = tuple[int, int, int, bytes]


class Transport:
    """Keeps what is written; full from ``high`` bytes on, until they are taken."""

    def __init__(self) -> None:
        self.high = 1 << 30
        self.written = bytearray()
        self.calls = 0
        self.largest = 0
        self.closed = self.aborted = False
        self.protocol: Connection | None = None

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def write(self, data: bytes) -> None:
        self.writelines([data])

    def writelines(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        self.written += data
        self.calls += 1
        self.largest = max(self.largest, len(data))
        if len(self.written) > self.high and self.protocol is not None:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Peer(Connection):
    """A connection whose streams are what a test opens; keeps what came."""

    def __init__(self) -> None:
        super().__init__(WINDOW, {})
        self.begun = 101
        self.seen: list[tuple[Any, ...]] = []
        self.done: list[int] = []

    def fields_received(self, stream: int, fields: Fields, ended: bool) -> None:
        self.seen.append(("fields", stream, fields, ended))

    def too_many_fields(self, stream: int, ended: bool) -> None:
        self.seen.append(("too many", stream, ended))

    def content_received(self, stream: Stream, content: memoryview, ended: bool) -> None:
        self.seen.append(("content", stream.id, bytes(content), ended))

    def stream_reset(self, stream: Stream, code: int) -> None:
        self.seen.append(("reset", stream.id, code))

    def stream_sent(self, stream: Stream) -> None:
        self.done.append(stream.id)
        self.close_stream(stream)


class Ends:
    """A connection, its transport, and a reader of what it wrote."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.peer = Peer()
        self.peer.connection_made(self.transport)  # type: ignore[arg-type]
        self.transport.protocol = self.peer
        self._reader = FrameReader(frames.LARGEST_FRAME)
        self.first = self.sent()

    def sent(self) -> list[Seen]:
        data, self.transport.written = bytes(self.transport.written), bytearray()
        return [(f.kind, f.flags, f.stream, bytes(f.payload)) for f in self._reader.feed(data)]

    def drain(self) -> list[Seen]:
        """What is written, the socket being emptied again and again."""
        found = self.sent()
        self.peer.resume_writing()
        while part := self.sent():
            found += part
            self.peer.resume_writing()
        return found

    def receive(self, *parts: bytes) -> list[Seen]:
        self.peer.data_received(b"".join(parts))
        return self.sent()

    def put(self, stream: int, size: int, last: bytes = b"") -> Stream:
        """Send so many bytes on a new stream."""
        found = self.peer.open(stream)
        self.peer.send(found, b"", [memoryview(bytes(size))], last)
        if found.sent:
            self.peer.stream_sent(found)
        return found

    def fault(self, *parts: bytes) -> ErrorCode:
        """The code that these frames end the connection with."""
        (*_, (kind, _, _, payload)) = self.receive(*parts)
        assert (kind, self.transport.closed) == (frames.GOAWAY, True)
        return ErrorCode(int.from_bytes(payload[4:8], "big"))


@pytest.fixture
async def ends() -> Ends:
    return Ends()


def content(found: list[Seen], stream: int | None = None) -> int:
    return sum(len(p) for k, _, s, p in found if k == frames.DATA and stream in (None, s))


def initial_window(size: int) -> bytes:
    return frames.settings({frames.INITIAL_WINDOW_SIZE: size})


OPEN = frames.window_update(0, 1 << 30)
PING = frames.frame(frames.PING, 0, 0, b"12345678")


async def test_what_is_announced(ends: Ends) -> None:
    (settings_frame, window) = ends.first
    values = dict(frames.read_settings(memoryview(settings_frame[3])))
    assert values == {
        frames.HEADER_TABLE_SIZE: 0,
        frames.INITIAL_WINDOW_SIZE: WINDOW,
        frames.MAX_FRAME_SIZE: FRAME_BYTES,
        frames.MAX_HEADER_LIST_SIZE: MOST_BYTES,
    }
    assert window[0] == frames.WINDOW_UPDATE
    assert int.from_bytes(window[3], "big") + frames.DEFAULT_WINDOW == CONNECTION_WINDOW


async def test_the_first_fields_say_that_there_is_no_table(ends: Ends) -> None:
    block = write_fields([("x", "y")])
    assert ends.peer.head(1, block).endswith(NO_TABLE + block)
    assert ends.peer.head(3, block)[9:] == block


async def test_content_stops_at_the_windows(ends: Ends) -> None:
    ends.put(1, 100_000)
    assert content(ends.sent()) == frames.DEFAULT_WINDOW
    assert content(ends.receive(frames.window_update(1, 10_000))) == 0
    assert content(ends.receive(frames.window_update(0, 1000))) == 1000
    assert content(ends.receive(frames.window_update(0, 1 << 20))) == 9000
    found = ends.receive(frames.window_update(1, 1 << 20))
    assert content(found) == 100_000 - frames.DEFAULT_WINDOW - 10_000
    assert [flags for _, flags, _, _ in found] == [0, frames.END_STREAM]
    assert ends.peer.done == [1]
    assert not ends.peer.streams


async def test_a_window_of_one_byte(ends: Ends) -> None:
    ends.receive(initial_window(1))
    ends.put(1, 5, b"last")
    found = ends.sent()
    for _ in range(4):
        assert ends.peer.done == []
        found += ends.receive(frames.window_update(1, 1))
    assert [len(p) for _, _, _, p in found if _ != b"last"][:5] == [1] * 5
    assert ends.peer.done == [1]


async def test_a_window_that_shrinks_under_a_stream(ends: Ends) -> None:
    stream = ends.put(1, 100_000)
    ends.receive(initial_window(10))
    assert stream.window_out == 10 - frames.DEFAULT_WINDOW
    opened = frames.window_update(1, frames.DEFAULT_WINDOW - 10)
    assert content(ends.receive(OPEN, opened)) == 0
    assert content(ends.receive(frames.window_update(1, 3))) == 3
    assert content(ends.receive(initial_window(20))) == 10
    assert content(ends.receive(initial_window(1 << 20))) == 100_000 - frames.DEFAULT_WINDOW - 13


async def test_a_window_that_shrinks_while_the_connection_is_waited_for(ends: Ends) -> None:
    ends.receive(initial_window(1 << 20))
    ends.put(1, 100_000)
    ends.receive(initial_window(0))
    assert content(ends.receive(OPEN)) == 0
    assert content(ends.receive(initial_window(1 << 20))) == 100_000 - frames.DEFAULT_WINDOW


@given(
    sizes=st.lists(st.integers(1, 300_000), min_size=1, max_size=5),
    acts=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 200_000), st.booleans()), max_size=30
    ),
)
@settings(max_examples=50, deadline=None)
def test_no_window_is_ever_exceeded_and_all_arrives(
    sizes: list[int], acts: list[tuple[int, int, bool]]
) -> None:
    async def run() -> None:
        ends = Ends()
        windows = {2 * n + 1: frames.DEFAULT_WINDOW for n in range(len(sizes))}
        whole, initial = frames.DEFAULT_WINDOW, frames.DEFAULT_WINDOW
        got = dict.fromkeys(windows, 0)

        def take(found: list[Seen]) -> None:
            nonlocal whole
            for kind, _, stream, payload in found:
                if kind == frames.DATA:
                    windows[stream] -= len(payload)
                    whole -= len(payload)
                    got[stream] += len(payload)
                    assert windows[stream] >= 0
                    assert whole >= 0

        for number, size in enumerate(sizes):
            ends.put(2 * number + 1, size)
        take(ends.drain())
        for which, amount, is_setting in acts:
            if is_setting:
                for stream in windows:
                    windows[stream] += amount - initial
                initial = amount
                ends.peer.data_received(initial_window(amount))
            elif which == 0:
                whole += amount
                ends.peer.data_received(frames.window_update(0, amount))
            elif (stream := 2 * which - 1) in windows:
                windows[stream] += amount
                ends.peer.data_received(frames.window_update(stream, amount))
            take(ends.drain())
        whole += 1 << 30
        take(ends.receive(OPEN))
        for stream in windows:
            windows[stream] += 1 << 29
            ends.peer.data_received(frames.window_update(stream, 1 << 29))
            take(ends.drain())
        assert list(got.values()) == sizes
        assert not ends.peer.streams
        assert not ends.peer._blocked

    asyncio.run(run())


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("frame_size", [frames.DEFAULT_FRAME, FRAME_BYTES])
async def test_a_full_socket_gets_no_more_of_a_large_message(
    ends: Ends, reading: bool, frame_size: int
) -> None:
    """Be the frames small, and the message sent while something is being read."""
    ends.transport.high = BATCH_BYTES
    ends.receive(frames.settings({frames.MAX_FRAME_SIZE: frame_size}))
    if reading:
        ends.put(1, 8 << 20)
        ends.sent()
        ends.receive(frames.window_update(1, 1 << 30))
        ends.receive(OPEN)
    else:
        ends.receive(initial_window(1 << 30), OPEN)
        ends.put(1, 8 << 20)
    found = len(ends.transport.written) + content(ends.sent())
    assert found < 4 * BATCH_BYTES
    assert ends.transport.largest < 3 * BATCH_BYTES
    ends.drain()
    assert ends.peer.done == [1]


async def test_a_small_message_does_not_wait_for_all_of_a_large_one(ends: Ends) -> None:
    ends.transport.high = BATCH_BYTES
    ends.receive(initial_window(1 << 30), OPEN)
    ends.put(1, 8 << 20)
    ends.put(3, 100)
    ends.put(5, 8 << 20)
    ends.sent()
    ends.peer.resume_writing()
    ends.sent()
    ends.peer.resume_writing()
    assert ends.peer.done == [3]
    ends.drain()
    assert sorted(ends.peer.done) == [1, 3, 5]


async def test_windows_opened_bit_by_bit_cost_no_look_at_every_stream(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.peer.begun = 2001
    ends.receive(initial_window(0))
    for stream in range(1, 2001, 2):
        ends.put(stream, 10)
    looks = 0
    push = Connection._push

    def counted(self: Connection, stream: Stream) -> bool:
        nonlocal looks
        looks += 1
        return push(self, stream)

    monkeypatch.setattr(Connection, "_push", counted)
    ends.receive(frames.window_update(0, 1) * 1000)
    assert looks == 0
    ends.receive(frames.window_update(1, 1) * 5)
    assert looks == 5


async def test_a_stream_that_is_given_up_sends_no_more(ends: Ends) -> None:
    stream = ends.put(1, 100_000)
    ends.sent()
    ends.peer.reset(stream, ErrorCode.CANCEL)
    assert [kind for kind, *_ in ends.sent()] == [frames.RST_STREAM]
    assert ends.receive(frames.window_update(1, 1 << 20), OPEN) == []


async def test_content_is_counted_and_the_window_opened_again(ends: Ends) -> None:
    ends.peer.open(1)
    piece = frames.frame(frames.DATA, 0, 1, bytes(FRAME_BYTES))
    found = []
    for _ in range(WINDOW // FRAME_BYTES):
        found += ends.receive(piece)
    assert found == []
    (reset,) = ends.receive(frames.frame(frames.DATA, 0, 1, b"x"))
    assert (reset[0], reset[3][-1]) == (frames.RST_STREAM, ErrorCode.FLOW_CONTROL_ERROR)
    assert ends.peer.seen[-1] == ("reset", 1, ErrorCode.FLOW_CONTROL_ERROR)
    # What follows is not wanted, but it was sent.
    for _ in range((CONNECTION_WINDOW // 2 - WINDOW) // FRAME_BYTES):
        found += ends.receive(piece)
    ((kind, _, stream, payload),) = found
    assert (kind, stream) == (frames.WINDOW_UPDATE, 0)
    assert CONNECTION_WINDOW // 2 <= int.from_bytes(payload, "big") < CONNECTION_WINDOW


async def test_more_than_the_connections_window(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.peer._window_in = 10
    assert ends.fault(frames.frame(frames.DATA, 0, 1, bytes(11))) is ErrorCode.FLOW_CONTROL_ERROR


async def test_padding_takes_nothing_from_a_message(ends: Ends) -> None:
    ends.peer.open(1)
    padded = frames.frame(frames.DATA, frames.PADDED, 1, b"\x02abc\0\0")
    ((kind, _, stream, payload),) = ends.receive(padded)
    assert (kind, stream, payload[-1]) == (frames.WINDOW_UPDATE, 1, 3)
    assert ends.peer.streams[1].window_in == WINDOW - 3
    assert ends.peer.seen == [("content", 1, b"abc", False)]


async def test_fields_in_pieces(ends: Ends) -> None:
    block = write_fields([("a", "b"), ("c", "d")])
    head = frames.frame(frames.HEADERS, frames.END_STREAM, 1, block[:3])
    middle = frames.frame(frames.CONTINUATION, 0, 1, block[3:5])
    end = frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[5:])
    ends.receive(head, middle, end)
    assert ends.peer.seen == [("fields", 1, (("a", "b"), ("c", "d")), True)]


@pytest.mark.parametrize(
    "between",
    [
        PING,
        frames.frame(0xFA, 0, 1),
        frames.frame(frames.DATA, 0, 1, b"x"),
        frames.frame(frames.CONTINUATION, frames.END_HEADERS, 3),
        frames.frame(frames.HEADERS, frames.END_HEADERS, 1),
    ],
)
async def test_fields_in_pieces_are_not_interrupted(ends: Ends, between: bytes) -> None:
    head = frames.frame(frames.HEADERS, 0, 1, b"")
    assert ends.fault(head, between) is ErrorCode.PROTOCOL_ERROR


async def test_fields_without_an_end(ends: Ends) -> None:
    head = frames.frame(frames.HEADERS, 0, 1, bytes(1000))
    piece = frames.frame(frames.CONTINUATION, 0, 1, bytes(1000))
    calm = ErrorCode.ENHANCE_YOUR_CALM
    assert ends.fault(head, piece * (MOST_READ_BYTES // 1000)) is calm
    assert Ends().fault(head, frames.frame(frames.CONTINUATION, 0, 1)) is calm


async def test_too_many_fields_are_one_streams_matter(ends: Ends) -> None:
    block = write_fields([("x", "y" * 20_000)] * 2)
    ends.receive(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    assert ends.peer.seen == [("too many", 1, False)]
    assert not ends.transport.closed


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (frames.frame(frames.DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 2, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 103, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, 4, 0), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.CONTINUATION, 4, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.rst_stream(103, ErrorCode.CANCEL), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(103, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
        (OPEN + OPEN, ErrorCode.FLOW_CONTROL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
        (initial_window(2**31), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 100}), ErrorCode.PROTOCOL_ERROR),
        (frames.settings({frames.MAX_FRAME_SIZE: 2**24}), ErrorCode.PROTOCOL_ERROR),
        (frames.head(frames.DATA, 0, 1, FRAME_BYTES + 1), ErrorCode.FRAME_SIZE_ERROR),
    ],
)
async def test_what_ends_the_connection(ends: Ends, frame: bytes, code: ErrorCode) -> None:
    assert ends.fault(frame) is code
    # TLS may still deliver something.
    ends.peer.data_received(PING)
    assert ends.sent() == []


async def test_a_windows_faults_are_one_streams_matter(ends: Ends) -> None:
    for stream, increment, code in (
        (1, 0, ErrorCode.PROTOCOL_ERROR),
        (3, 2**31 - 1, ErrorCode.FLOW_CONTROL_ERROR),
    ):
        ends.peer.open(stream)
        ((kind, _, found, payload),) = ends.receive(frames.window_update(stream, increment))
        assert (kind, found, payload[-1]) == (frames.RST_STREAM, stream, code)
        assert ends.peer.seen[-1] == ("reset", stream, code)
    assert not ends.transport.closed


async def test_a_setting_that_makes_a_streams_window_too_large(ends: Ends) -> None:
    ends.peer.open(1)
    ends.receive(frames.window_update(1, 1000))
    assert ends.fault(initial_window(2**31 - 1)) is ErrorCode.FLOW_CONTROL_ERROR


async def test_what_is_not_known_is_passed_over(ends: Ends) -> None:
    found = ends.receive(
        frames.frame(0xFA, 0xFF, 7, b"x"),
        frames.settings({0xABCD: 1}),
        frames.frame(frames.PRIORITY, 0, 7, bytes(5)),
        frames.frame(frames.PING, frames.ACK, 0, bytes(8)),
        frames.frame(frames.SETTINGS, frames.ACK, 0),
        frames.window_update(99, 7),
        frames.rst_stream(99, ErrorCode.CANCEL),
        frames.frame(frames.DATA, 0, 99, b"x"),
    )
    assert found == [(frames.SETTINGS, frames.ACK, 0, b"")]


async def test_smaller_frames_from_the_middle_of_a_message(ends: Ends) -> None:
    ends.receive(frames.settings({frames.MAX_FRAME_SIZE: 1 << 20}), initial_window(1 << 20))
    ends.put(1, 200_000)
    assert max(len(p) for _, _, _, p in ends.sent()) == frames.DEFAULT_WINDOW
    smaller = frames.settings({frames.MAX_FRAME_SIZE: frames.DEFAULT_FRAME})
    ends.receive(smaller)
    ends.peer.data_received(OPEN)
    assert max(len(p) for _, _, _, p in ends.drain()) == frames.DEFAULT_FRAME
    assert ends.peer.done == [1]


async def test_pings_are_answered(ends: Ends) -> None:
    assert ends.receive(PING) == [(frames.PING, frames.ACK, 0, b"12345678")]


@pytest.mark.parametrize(
    "frame",
    [
        PING,
        frames.settings({}),
        frames.frame(frames.DATA, 0, 1),
        frames.frame(frames.DATA, frames.PADDED, 1, b"\x01\0"),
        frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
        frames.frame(0xFA, 0, 1),
        frames.window_update(1, 1),
        frames.rst_stream(1, ErrorCode.CANCEL),
    ],
)
async def test_a_flood_of_frames_that_bring_nothing(ends: Ends, frame: bytes) -> None:
    ends.peer.open(1)
    assert ends.fault(frame * (MOST_IDLE_FRAMES + 1)) is ErrorCode.ENHANCE_YOUR_CALM


async def test_as_many_over_a_longer_time(ends: Ends) -> None:
    for _ in range(3):
        ends.receive(PING * (MOST_IDLE_FRAMES - 1))
        ends.peer._second -= 1
    assert not ends.transport.closed


async def test_windows_may_be_opened_for_what_is_sent(ends: Ends) -> None:
    ends.receive(initial_window(1 << 30), OPEN)
    ends.put(1, 64 << 20)
    assert ends.peer.done == [1]
    ends.sent()
    assert not ends.receive(frames.window_update(0, 1) * (32 << 10))
    assert not ends.transport.closed


async def test_answers_that_are_not_taken(ends: Ends) -> None:
    ends.transport.high = 0
    for _ in range(MOST_UNSENT // (17 * 9000) + 2):
        ends.peer.data_received(PING * 9000)
        ends.peer._second -= 1
    assert ends.transport.aborted
    size = len(ends.transport.written)
    ends.peer.data_received(PING)
    assert len(ends.transport.written) == size < 2 * MOST_UNSENT


async def test_frames_are_written_together_while_something_is_read(ends: Ends) -> None:
    calls = ends.transport.calls
    ends.receive(PING * 5)
    assert ends.transport.calls == calls + 1


async def test_who_takes_nothing_is_not_waited_for(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.01)
    ends.peer.fail(ErrorCode.NO_ERROR, "")
    ends.peer.close()
    assert (ends.transport.closed, ends.transport.aborted) == (True, False)
    await asyncio.sleep(0.05)
    assert ends.transport.aborted


async def test_no_timer_outlives_a_connection(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.01)
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.01)
    ends.peer.watch()
    ends.peer.close()
    ends.peer.connection_lost(None)
    await asyncio.sleep(0.05)
    assert not ends.transport.aborted
    assert ends.sent() == []


async def test_silence_is_asked_about(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    ends.peer.watch()
    ends.peer.watch()
    for _ in range(3):
        await asyncio.sleep(0.07)
        assert [kind for kind, *_ in ends.sent()] == [frames.PING]
        ends.receive(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
        await asyncio.sleep(0.02)
    assert not ends.transport.aborted
    await asyncio.sleep(0.2)
    assert ends.transport.aborted


async def test_a_connection_that_was_silent_for_long_is_asked_at_once(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.peer.heard -= connection.KEEPALIVE_SECONDS + 1
    ends.peer.watch()
    await asyncio.sleep(0.01)
    assert [kind for kind, *_ in ends.sent()] == [frames.PING]
    ends.peer.connection_lost(None)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                frames.frame,
                st.integers(0, 11),
                st.integers(0, 255),
                st.sampled_from([0, 1, 3, 5, 2, 103]),
                st.binary(max_size=40),
            ),
        ),
        max_size=30,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_nothing_is_raised(parts: list[bytes]) -> None:
    async def run() -> None:
        ends = Ends()
        ends.put(1, 1000)
        ends.put(3, 100_000)
        ends.peer.open(5)
        for part in parts:
            ends.peer.data_received(part)

    asyncio.run(run())


def test_a_fault_has_a_code() -> None:
    fault = ConnectionFault(ErrorCode.PROTOCOL_ERROR, "text")
    assert (fault.code, str(fault)) == (ErrorCode.PROTOCOL_ERROR, "text")

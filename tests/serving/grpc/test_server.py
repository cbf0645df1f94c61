from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode, aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.grpc import server
from serving.grpc.listener import GrpcListener
from serving.grpc.messages import CODES, write_message
from serving.grpc.server import MOST_STREAMS, Service
from serving.http2 import connection, frames
from serving.http2.connection import MOST_IDLE_FRAMES
from serving.http2.frames import ErrorCode
from tests.serving.grpc.echo import (
    BIG,
    BOOM,
    ECHO,
    FAIL,
    META,
    MOST,
    WAIT,
    Echo,
    listening,
    message,
    value,
)
from tests.serving.http2.raw import Pairs, Raw, dial
from tests.waiting import until

LARGE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest_asyncio.fixture
async def listener(echo: Echo) -> AsyncIterator[GrpcListener]:
    async with listening(echo.service()) as found:
        yield found


@pytest.fixture
def service(listener: GrpcListener) -> Service:
    return listener._service


@pytest_asyncio.fixture
async def channel(listener: GrpcListener) -> AsyncIterator[aio.Channel]:
    target = f"127.0.0.1:{listener.port}"
    async with aio.insecure_channel(target, [*LARGE, ("grpc.use_local_subchannel_pool", 1)]) as it:
        yield it


Dial = Callable[..., Awaitable[Raw]]


@pytest_asyncio.fixture
async def client(listener: GrpcListener) -> AsyncIterator[Dial]:
    """Connects a raw client, with its settings if it has any."""
    made: list[Raw] = []

    async def connect(settings: dict[int, int] | None = None) -> Raw:
        made.append(await dial(listener.port, settings))
        return made[-1]

    yield connect
    for raw in made:
        await raw.close()


@pytest_asyncio.fixture
async def raw(client: Dial) -> Raw:
    return await client()


async def call(channel: aio.Channel, path: str, content: bytes, **options: Any) -> bytes:
    return value(await channel.unary_unary(path)(message(content), **{"timeout": 20, **options}))


async def refused(channel: aio.Channel, path: str, content: bytes, **options: Any) -> Any:
    with pytest.raises(aio.AioRpcError) as caught:
        await call(channel, path, content, **options)
    return caught.value


def fields(path: str = ECHO, *more: tuple[str, str]) -> Pairs:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc+proto"),
        *more,
    ]


def request(raw: Raw, stream: int, content: bytes, path: str = ECHO, *more: Any) -> bytes:
    body = b"".join(bytes(part) for part in write_message(message(content)))
    data = frames.frame(frames.DATA, frames.END_STREAM, stream, body)
    return raw.headers(stream, fields(path, *more)) + data


async def answer_of(raw: Raw, stream: int) -> tuple[bytes, dict[str, str]]:
    """Content and trailers of the answer on a stream."""
    content = b""
    found: dict[str, str] = {}
    while True:
        frame = await raw.frame()
        assert frame is not None
        kind, flags, number, payload = frame
        if kind == frames.HEADERS:
            given = raw.fields(payload)
            if number == stream:
                found |= given
        elif kind == frames.DATA and number == stream:
            content += payload
        if number == stream and flags & frames.END_STREAM and kind in (0, 1):
            return content, found


async def check(raw: Raw, stream: int) -> None:
    """A call on this connection is answered."""
    await raw.send(request(raw, stream, b"still there"))
    content, found = await answer_of(raw, stream)
    assert (value(content[5:]), found["grpc-status"]) == (b"still there", "0")


# What gRPC's own clients see.


async def test_echo(channel: aio.Channel) -> None:
    for content in (b"", b"x", bytes(100_000)):
        assert await call(channel, ECHO, content) == content


@pytest.mark.parametrize("code", [c for c in StatusCode if c is not StatusCode.OK])
async def test_every_status(channel: aio.Channel, code: StatusCode) -> None:
    error = await refused(channel, FAIL, f"{code.value[0]}:50 % – né\n".encode())
    assert (error.code(), error.details()) == (code, "50 % – né\n")
    assert ("x-error-code", "made-up") in tuple(error.trailing_metadata())


async def test_details_are_cut(channel: aio.Channel) -> None:
    assert len((await refused(channel, FAIL, b"3:" + b"x" * 5000)).details()) == 1024


async def test_metadata(channel: aio.Channel) -> None:
    sent = (("x-request-id", "abc"), ("traceparent", "y" * 5000))
    found = await call(channel, META, b"", metadata=sent)
    for name, text in sent:
        assert f"{name!r}: {text!r}" in found.decode()
    assert b"grpc-timeout" not in found


async def test_an_unknown_method(channel: aio.Channel) -> None:
    assert (await refused(channel, "/a.B/C", b"")).code() is StatusCode.UNIMPLEMENTED


async def test_an_unexpected_error_says_nothing(
    channel: aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(channel, BOOM, b"")
    assert (error.code(), error.details()) == (StatusCode.INTERNAL, "internal error")
    assert [r.levelno for r in caplog.records if r.name == "serving.grpc"] == [logging.ERROR]


async def test_a_message_that_is_no_protobuf(channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await channel.unary_unary(ECHO)(b"\xff\xff", timeout=5)
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


async def test_a_deadline(channel: aio.Channel, echo: Echo) -> None:
    assert (await refused(channel, WAIT, b"", timeout=0.2)).code() is StatusCode.DEADLINE_EXCEEDED
    await until(lambda: echo.cancelled == 1)


async def test_a_call_that_is_cancelled(channel: aio.Channel, echo: Echo, service: Service) -> None:
    going = channel.unary_unary(WAIT)(message(b""))
    await until(lambda: echo.under_way == 1)
    going.cancel()
    await until(lambda: echo.cancelled == 1)
    await until(lambda: not any(c.streams for c in service.connections))


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compression(channel: aio.Channel, kind: grpc.Compression) -> None:
    content = b"abc" * 10_000
    assert await call(channel, ECHO, content, compression=kind) == content


async def test_30_mb_both_ways(channel: aio.Channel) -> None:
    content = bytes(range(256)) * (30 << 12)
    assert await call(channel, ECHO, content) == content


async def test_64_mb_both_ways_at_once(channel: aio.Channel) -> None:
    size = MOST - 100
    found = await asyncio.gather(
        call(channel, ECHO, bytes(size)), call(channel, BIG, str(size).encode())
    )
    assert [len(each) for each in found] == [size, size]


async def test_500_calls_at_once(channel: aio.Channel, service: Service) -> None:
    contents = [str(n).encode() * 50 for n in range(500)]
    assert await asyncio.gather(*(call(channel, ECHO, c) for c in contents)) == contents
    assert not any(c.streams for c in service.connections)


async def test_message_sizes(echo: Echo) -> None:
    async with (
        listening(echo.service(1000)) as listener,
        aio.insecure_channel(f"127.0.0.1:{listener.port}", LARGE) as channel,
    ):
        assert await call(channel, ECHO, bytes(900)) == bytes(900)
        for path, content in ((ECHO, bytes(5 << 20)), (BIG, b"1001")):
            error = await refused(channel, path, content)
            assert error.code() is StatusCode.RESOURCE_EXHAUSTED
        pressed = await refused(channel, ECHO, bytes(5000), compression=grpc.Compression.Gzip)
        assert pressed.code() is StatusCode.RESOURCE_EXHAUSTED
        assert await call(channel, ECHO, b"x") == b"x"


async def test_the_sync_client(listener: GrpcListener) -> None:
    def work() -> list[Any]:
        with grpc.insecure_channel(f"127.0.0.1:{listener.port}", LARGE) as channel:
            echo = channel.unary_unary(ECHO)
            found: list[Any] = [value(echo(message(b"abc"), timeout=5))]
            found.append(len(value(echo(message(bytes(5 << 20)), timeout=20))))
            futures = [echo.future(message(b"%d" % n), timeout=20) for n in range(100)]
            found.append([value(f.result()) for f in futures] == [b"%d" % n for n in range(100)])
            for path, content in ((FAIL, b"5:gone"), (WAIT, b"")):
                try:
                    channel.unary_unary(path)(message(content), timeout=0.3)
                except grpc.RpcError as error:
                    found.append(error.code())
            return found

    found = await asyncio.get_running_loop().run_in_executor(None, work)
    codes = [StatusCode.NOT_FOUND, StatusCode.DEADLINE_EXCEEDED]
    assert found == [b"abc", 5 << 20, True, *codes]


# Ends and drains.


async def test_calls_under_way_end_before_the_server_does(
    channel: aio.Channel, listener: GrpcListener, echo: Echo
) -> None:
    going = [asyncio.ensure_future(call(channel, WAIT, b"%d" % n)) for n in range(20)]
    await until(lambda: echo.under_way == 20)
    stopping = asyncio.ensure_future(listener.stop(10))
    await asyncio.sleep(0.3)
    assert not stopping.done()
    echo.go_on.set()
    assert await asyncio.gather(*going) == [b"%d" % n for n in range(20)]
    await asyncio.wait_for(stopping, 2)


async def test_calls_that_take_too_long_are_ended(
    channel: aio.Channel, listener: GrpcListener, echo: Echo
) -> None:
    going = asyncio.ensure_future(refused(channel, WAIT, b""))
    await until(lambda: echo.under_way == 1)
    await asyncio.wait_for(listener.stop(0.3), 2)
    assert (await going).code() is StatusCode.UNAVAILABLE
    await until(lambda: echo.cancelled == 1)


async def test_a_drain_says_so_twice_and_hangs_up(raw: Raw, listener: GrpcListener) -> None:
    await check(raw, 1)
    stopping = asyncio.ensure_future(listener.stop(5))
    _, _, _, first = await raw.next(frames.GOAWAY)
    assert int.from_bytes(first[:4], "big") == 2**31 - 1
    await check(raw, 3)  # it crossed the announcement
    _, _, _, last = await raw.next(frames.GOAWAY)
    assert (int.from_bytes(last[:4], "big"), last[7]) == (3, ErrorCode.NO_ERROR)
    assert await raw.ended() == []
    await asyncio.wait_for(stopping, 1)


async def test_who_hangs_up_takes_no_answer_away(
    raw: Raw, listener: GrpcListener, service: Service
) -> None:
    """What a client sends to a socket that is closed has the unread answers thrown away."""
    await raw.send(request(raw, 1, b"60000", BIG))
    await until(lambda: not any(c.streams for c in service.connections))
    stopping = asyncio.ensure_future(listener.stop(5))
    await asyncio.sleep(0.3)
    for _ in range(3):
        await raw.send(frames.window_update(0, 100), frames.window_update(1, 100))
        await asyncio.sleep(0.02)
    assert not stopping.done()
    assert len((await answer_of(raw, 1))[0]) > 60_000
    await raw.ended()
    await asyncio.wait_for(stopping, 1)


class Gone:
    """A transport whose peer has gone in this moment."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write_eof(self) -> None:
        raise OSError(107, "not connected")


async def test_a_client_that_is_gone_keeps_no_drain_from_its_end(
    raw: Raw, listener: GrpcListener, service: Service
) -> None:
    await check(raw, 1)
    for found in service.connections:
        found.transport = Gone(found.transport)  # type: ignore[assignment]
    await asyncio.wait_for(listener.stop(5), 1)


async def test_a_call_that_crosses_the_last_goaway_harms_no_other(
    raw: Raw, listener: GrpcListener, echo: Echo
) -> None:
    await raw.send(request(raw, 1, b"x", WAIT))
    await until(lambda: echo.under_way == 1)
    stopping = asyncio.ensure_future(listener.stop(5))
    for _ in range(2):
        await raw.next(frames.GOAWAY)
    await raw.send(request(raw, 3, b"late"), frames.rst_stream(3, ErrorCode.CANCEL))
    await asyncio.sleep(0.05)
    echo.go_on.set()
    content, found = await answer_of(raw, 1)
    assert (value(content[5:]), found["grpc-status"]) == (b"x", "0")
    await raw.ended()
    await asyncio.wait_for(stopping, 2)


async def test_a_drain_waits_for_answers_that_are_not_taken_yet_and_for_messages(
    client: Dial, listener: GrpcListener, echo: Echo
) -> None:
    raw = await client({frames.INITIAL_WINDOW_SIZE: 10})
    body = b"".join(bytes(part) for part in write_message(message(b"half")))
    begin = frames.frame(frames.DATA, 0, 3, body[:7])
    await raw.send(request(raw, 1, b"50000", BIG), raw.headers(3, fields()), begin)
    await raw.next(frames.DATA, 1)
    stopping = asyncio.ensure_future(listener.stop(5))
    for _ in range(2):
        await raw.next(frames.GOAWAY)
    await asyncio.sleep(0.1)
    await raw.send(frames.window_update(1, 100_000))
    content, found = await answer_of(raw, 1)
    assert (len(content), found["grpc-status"]) > (49_900, "0")
    end = frames.frame(frames.DATA, frames.END_STREAM, 3, body[7:])
    await raw.send(end, frames.window_update(3, 100_000))
    assert value((await answer_of(raw, 3))[0][5:]) == b"half"
    await raw.ended()
    await asyncio.wait_for(stopping, 2)


async def test_a_connection_that_is_lost_ends_its_calls(
    client: Dial, echo: Echo, service: Service
) -> None:
    raw = await client()
    await raw.send(*(request(raw, n, b"x", WAIT) for n in range(1, 21, 2)))
    await raw.send(raw.headers(21, fields()), frames.frame(frames.DATA, 0, 21, b"\0\0\0\1\0"))
    await until(lambda: echo.under_way == 10 and service.held > 0)
    raw.writer.transport.abort()
    await until(lambda: echo.cancelled == 10)
    assert (service.connections, service.held) == (set(), 0)


# Odd and hostile clients.


async def test_no_http_2(listener: GrpcListener) -> None:
    for text in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
        b"\x16\x03",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(text)
        await asyncio.wait_for(reader.read(), 2)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_preface_byte_by_byte(listener: GrpcListener) -> None:
    raw = Raw(*await asyncio.open_connection("127.0.0.1", listener.port))
    for byte in frames.PREFACE + frames.settings({}):
        await raw.send(bytes([byte]))
        await asyncio.sleep(0)
    await check(raw, 1)
    await raw.close()


@pytest.mark.parametrize(
    "changed",
    [
        {":method": "GET"},
        {"content-type": "application/json"},
        {"content-type": "application/grpc-web"},
        {"content-type": ""},
    ],
)
@pytest.mark.parametrize("ends", [True, False])
async def test_no_grpc(raw: Raw, changed: dict[str, str], ends: bool) -> None:
    given = {**dict(fields()), **changed}
    await raw.send(raw.headers(1, list(given.items()), ends))
    _, found = await answer_of(raw, 1)
    assert found == {":status": "415"}
    if not ends:
        assert (await raw.next(frames.RST_STREAM))[2:] == (1, bytes(4))
    await check(raw, 3)


async def test_no_message_and_more_than_one(raw: Raw) -> None:
    await raw.send(raw.headers(1, fields(), ends=True))
    assert (await answer_of(raw, 1))[1]["grpc-status"] == "13"
    body = b"".join(bytes(part) for part in write_message(b""))
    await raw.send(raw.headers(3, fields()), frames.frame(frames.DATA, 0, 3, body * 2))
    assert (await answer_of(raw, 3))[1]["grpc-status"] == "13"
    assert (await raw.next(frames.RST_STREAM))[2:] == (3, bytes(4))
    await check(raw, 5)


async def test_a_call_that_ends_with_trailers(raw: Raw) -> None:
    body = b"".join(bytes(part) for part in write_message(message(b"abc")))
    data = frames.frame(frames.DATA, frames.PADDED, 1, b"\x02" + body + b"\0\0")
    await raw.send(raw.headers(1, fields()), data, raw.headers(1, [("x", "y")], ends=True))
    content, found = await answer_of(raw, 1)
    assert (value(content[5:]), found["grpc-status"]) == (b"abc", "0")


async def test_fields_in_pieces_with_padding_and_priority(raw: Raw) -> None:
    block = raw.block(fields())
    flags = frames.PADDED | frames.WITH_PRIORITY
    head = frames.frame(frames.HEADERS, flags, 1, b"\x02\0\0\0\0\x10" + block[:9] + b"\0\0")
    rest = [frames.frame(frames.CONTINUATION, 0, 1, block[i : i + 1]) for i in range(9, len(block))]
    end = frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1)
    body = b"".join(bytes(part) for part in write_message(message(b"abc")))
    data = frames.frame(frames.DATA, frames.END_STREAM, 1, body)
    await raw.send(head, *rest, end, data)
    content, _ = await answer_of(raw, 1)
    assert value(content[5:]) == b"abc"


async def test_too_many_fields_end_their_call_alone(raw: Raw) -> None:
    await raw.send(raw.headers(1, fields(ECHO, *[(f"x-{n}", "y" * 4000) for n in range(10)])))
    assert (await answer_of(raw, 1))[1]["grpc-status"] == "8"
    await check(raw, 3)


@pytest.mark.parametrize("stream", [2, 0])
async def test_streams_that_no_client_begins(raw: Raw, stream: int) -> None:
    await raw.send(raw.headers(stream, fields()))
    assert (await raw.next(frames.GOAWAY))[3][7] == ErrorCode.PROTOCOL_ERROR
    await raw.ended()


async def test_content_after_the_end(raw: Raw, echo: Echo) -> None:
    await raw.send(request(raw, 1, b"x", WAIT), frames.frame(frames.DATA, 0, 1, b"more"))
    assert (await raw.next(frames.GOAWAY))[3][7] == ErrorCode.STREAM_CLOSED


async def test_frames_that_cross_the_end_of_their_stream(raw: Raw) -> None:
    await check(raw, 1)
    await raw.send(
        frames.frame(frames.DATA, 0, 1, b"late"),
        frames.window_update(1, 5),
        raw.headers(1, [("late", "trailer")], ends=True),
        frames.rst_stream(1, ErrorCode.CANCEL),
    )
    await check(raw, 3)


async def test_more_streams_than_allowed(
    raw: Raw, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_STREAMS", 3)
    await raw.send(*(request(raw, n, b"x", WAIT) for n in (1, 3, 5, 7)))
    _, _, stream, payload = await raw.next(frames.RST_STREAM)
    assert (stream, payload[-1]) == (7, ErrorCode.REFUSED_STREAM)
    await until(lambda: echo.under_way == 3)
    await raw.send(frames.rst_stream(3, ErrorCode.CANCEL))
    await check(raw, 9)


async def test_rapid_reset(client: Dial, echo: Echo, service: Service) -> None:
    """CVE-2023-44487: begun and given up, which frees the stream and costs a task."""
    raw, other = await client(), await client()
    parts = []
    for stream in range(1, 2 * MOST_IDLE_FRAMES, 2):
        parts += [request(raw, stream, b"x", WAIT), frames.rst_stream(stream, ErrorCode.CANCEL)]
    with pytest.raises(ConnectionError):
        for at in range(0, len(parts), 100):
            await raw.send(*parts[at : at + 100])
        while (frame := await raw.frame()) is not None:
            assert frame[0] != frames.GOAWAY or frame[3][7] == ErrorCode.ENHANCE_YOUR_CALM
        raise ConnectionError
    await check(other, 1)
    assert echo.calls <= MOST_IDLE_FRAMES // server.RESET_COST
    await raw.close()
    await until(lambda: len(service.connections) == 1)


async def test_resets_at_a_sensible_rate(raw: Raw, echo: Echo) -> None:
    for stream in range(1, 2 * MOST_STREAMS, 2):
        await raw.send(
            request(raw, stream, b"x", WAIT), frames.rst_stream(stream, ErrorCode.CANCEL)
        )
    await check(raw, 2 * MOST_STREAMS + 1)
    assert echo.under_way == 0


async def test_a_message_that_does_not_come(
    raw: Raw, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RECEIVE_SECONDS", 0.1)
    await raw.send(raw.headers(1, fields()), frames.frame(frames.DATA, 0, 1, bytes(3)))
    assert (await answer_of(raw, 1))[1]["grpc-status"] == "4"
    monkeypatch.undo()
    late = ("grpc-timeout", "100m")
    await raw.send(raw.headers(3, fields(ECHO, late)), frames.frame(frames.DATA, 0, 3, bytes(3)))
    assert (await answer_of(raw, 3))[1]["grpc-status"] == "4"
    assert service.held == 0
    await check(raw, 5)


async def test_an_answer_that_is_not_taken(
    client: Dial, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_SECONDS", 0.1)
    raw = await client({frames.INITIAL_WINDOW_SIZE: 0})
    await raw.send(request(raw, 1, b"50000", BIG))
    _, _, stream, payload = await raw.next(frames.RST_STREAM)
    assert (stream, payload[-1], service.held) == (1, ErrorCode.CANCEL, 0)
    late = ("grpc-timeout", "300m")
    monkeypatch.undo()
    await raw.send(request(raw, 3, b"50000", BIG, late))
    assert (await raw.next(frames.RST_STREAM))[2] == 3


async def test_messages_that_are_not_whole_take_a_limited_room(
    client: Dial, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.most_held = 100_000
    begin = (1 << 20).to_bytes(5, "big") + bytes(59_995)
    raws = [await client() for _ in range(2)]
    for raw in raws:
        await raw.send(raw.headers(1, fields()), frames.frame(frames.DATA, 0, 1, begin))
        await until(lambda: service.held > 0)
    assert (await answer_of(raws[1], 1))[1]["grpc-status"] == "8"
    await check(raws[1], 3)
    assert service.held == 60_000
    # One that is alone may be of any size.
    await raws[0].send(frames.frame(frames.DATA, 0, 1, bytes(60_000)))
    await until(lambda: service.held == 120_000)


async def test_answers_that_are_not_taken_have_a_limited_room(
    client: Dial, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.most_held = 100_000
    raw = await client({frames.INITIAL_WINDOW_SIZE: 0})
    await raw.send(request(raw, 1, b"60000", BIG), request(raw, 3, b"60000", BIG))
    _, _, stream, payload = await raw.next(frames.RST_STREAM)
    assert (stream, payload[-1]) == (3, ErrorCode.ENHANCE_YOUR_CALM)
    await raw.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 20}))
    content, _ = await answer_of(raw, 1)
    assert len(content) > 60_000
    assert service.held == 0


async def test_a_client_that_asks_and_takes_no_answer(
    client: Dial, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals, each many times as long as the request."""
    monkeypatch.setattr(connection, "MOST_UNSENT", 1 << 20)
    raw = await client()
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    path = "/" + "%" * 199
    with pytest.raises(ConnectionError):
        for first in range(1, 400_001, 2000):
            parts = [raw.headers(n, fields(path), True) for n in range(first, first + 2000, 2)]
            await raw.send(*parts)
    await until(lambda: not service.connections)


async def test_who_says_nothing_is_hung_up_on(
    listener: GrpcListener, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    await until(lambda: len(service.connections) == 1)
    await until(lambda: not service.connections, 1)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_nothing_is_left_of_calls(channel: aio.Channel, echo: Echo, service: Service) -> None:
    for n in range(50):
        going = [call(channel, ECHO, b"x"), refused(channel, FAIL, b"3:x")]
        if n % 25 == 0:
            going.append(refused(channel, WAIT, b"x", timeout=0.05))
        await asyncio.gather(*going)
    await until(lambda: not any(c.streams or c._blocked for c in service.connections))
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o) is server.CallStream]


frame_parts = st.one_of(
    st.binary(max_size=80),
    st.builds(
        frames.frame,
        st.integers(0, 11),
        st.integers(0, 255),
        st.sampled_from([0, 1, 3, 5, 2, 99]),
        st.binary(max_size=60),
    ),
    st.sampled_from(
        [
            frames.frame(frames.HEADERS, 4, 1, Raw.block(Raw(None, None), fields())),  # type: ignore[arg-type]
            frames.frame(frames.DATA, 1, 1, b"\0\0\0\0\0"),
            frames.frame(frames.DATA, 0, 1, b"\0\0\0\0\x05abc"),
            frames.window_update(1, 1000),
            frames.settings({frames.INITIAL_WINDOW_SIZE: 0}),
        ]
    ),
)


@given(st.lists(frame_parts, max_size=20), st.integers(0, 2**32))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_a_client_sends_the_others_are_answered(
    parts: list[bytes], seed: int
) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with listening(Echo().service()) as listener:
        raw, other = await dial(listener.port), await dial(listener.port)
        for part in parts:
            try:
                await raw.send(part)
            except ConnectionError:
                break
        await check(other, 1)
        await raw.close()
        await check(other, 3)
        await other.close()
    assert faults == []


def test_every_code_is_a_status() -> None:
    assert set(CODES.values()) == set(StatusCode)

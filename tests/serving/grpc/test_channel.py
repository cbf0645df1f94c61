from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc import StatusCode, aio

from serving.grpc import channel as channels
from serving.grpc.channel import Channel
from serving.grpc.client import FIRST_STREAMS
from serving.grpc.listener import GrpcListener
from serving.grpc.messages import RpcError
from serving.grpc.server import ServerConnection
from serving.http2 import connection, frames
from serving.http2.frames import PREFACE, ErrorCode
from tests.serving.grpc.echo import BIG, ECHO, FAIL, WAIT, Echo, listening, message, value
from tests.serving.http2.raw import Pairs, Raw
from tests.waiting import until

MOST = 64 << 20

Script = Callable[[Raw], Awaitable[None]]
Answer = Callable[..., Awaitable[bytes]]
Make = Callable[..., Channel]

BEGIN: Pairs = [(":status", "200"), ("content-type", "application/grpc")]
DONE: Pairs = [("grpc-status", "0")]


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    """Makes channels to a port, and closes them."""
    made: list[Channel] = []

    def build(port: int, most: int = MOST, **options: Any) -> Channel:
        made.append(Channel(f"127.0.0.1:{port}", most, **options))
        return made[-1]

    yield build
    for channel in made:
        await channel.close()
    # Neither a call nor a connection is left behind.
    await until(lambda: len(asyncio.all_tasks()) == 1)


class Scripted:
    """A server whose connections follow one script each, the last one for all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._server: asyncio.Server | None = None
        self._raws: list[Raw] = []
        self.port = 0
        self.faults: list[Exception] = []

    @property
    def connections(self) -> int:
        return len(self._raws)

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: Any) -> None:
        assert self._server is not None
        self._server.close()
        for raw in self._raws:
            await raw.close()
        assert self.faults == []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = Raw(reader, writer)
        self._raws.append(raw)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            await script(raw)
            while await raw.frame() is not None:
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass
        except Exception as error:
            self.faults.append(error)
        await raw.close()


async def request(raw: Raw) -> tuple[int, dict[str, str]]:
    """The next call: its stream and fields, once all of it has come."""
    _, _, stream, block = await raw.next(frames.HEADERS)
    fields = raw.fields(block)
    while True:
        _, flags, _, _ = await raw.next(frames.DATA, stream)
        if flags & frames.END_STREAM:
            return stream, fields


def body(content: bytes) -> bytes:
    packed = message(content)
    return b"\0" + len(packed).to_bytes(4, "big") + packed


def answer(raw: Raw, stream: int, content: bytes = b"yes") -> bytes:
    data = frames.frame(frames.DATA, 0, stream, body(content))
    return raw.headers(stream, BEGIN) + data + raw.headers(stream, DONE, True)


async def answering(raw: Raw) -> None:
    """Answer whatever comes."""
    await raw.send(frames.settings({}))
    while True:
        stream, _ = await request(raw)
        await raw.send(answer(raw, stream))


def saying(*parts: Any, then: str = "") -> Script:
    """Answer the first call with these: a function of ``raw`` and its stream, or bytes."""

    async def script(raw: Raw) -> None:
        await raw.send(frames.settings({}))
        stream, _ = await request(raw)
        await raw.send(*(p if isinstance(p, bytes) else p(raw, stream) for p in parts))
        if then == "hang up":
            await raw.close()

    return script


async def call(channel: Channel, content: bytes = b"x", path: str = ECHO, **options: Any) -> bytes:
    return value(await channel.call(path, message(content), **{"timeout_seconds": 5.0, **options}))


async def refused(channel: Channel, content: bytes = b"x", path: str = ECHO, **o: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await call(channel, content, path, **o)
    return caught.value


async def status_of(make: Make, script: Script, **options: Any) -> StatusCode:
    async with Scripted(script) as server:
        return (await refused(make(server.port, **options))).code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# gRPC's own server.


class Peer:
    """The same methods on ``grpc.aio``."""

    def __init__(self, **options: Any) -> None:
        self.server = aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
            **options,
        )
        self.metadata: list[dict[str, str]] = []
        self.deadlines: list[float] = []
        self.cancelled = 0
        handlers = {
            path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(method)
            for path, method in (
                (ECHO, self.echo),
                (FAIL, self.fail),
                (WAIT, self.wait),
                (BIG, self.big),
            )
        }
        generic = grpc.method_handlers_generic_handler("test.Echo", handlers)
        self.server.add_generic_rpc_handlers((generic,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def stop(self) -> None:
        await self.server.stop(None)
        del self.server  # while there is a loop that it can end in

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.metadata.append({"host": context.peer(), **dict(context.invocation_metadata())})
        self.deadlines.append(context.time_remaining())
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        code, _, details = value(request).decode().partition(":")
        context.set_trailing_metadata((("x-error-code", "made-up"),))
        status = next(c for c in StatusCode if str(c.value[0]) == code)
        await context.abort(status, details)
        return b""

    async def wait(self, request: bytes, context: Any) -> bytes:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return request

    async def big(self, request: bytes, context: Any) -> bytes:
        return message(bytes(int(value(request))))


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    found = Peer()
    await found.server.start()
    yield found
    await found.stop()


async def test_echo(make: Make, peer: Peer) -> None:
    channel = make(peer.port)
    for content in (b"", b"x", bytes(100_000)):
        assert await call(channel, content) == content
    sent = [("x-request-id", "abc"), ("traceparent", "y" * 500)]
    await call(channel, metadata=sent, timeout_seconds=7.0)
    assert set(sent) <= set(peer.metadata[-1].items())
    assert 6 < peer.deadlines[-1] <= 7


@pytest.mark.parametrize("code", [c for c in StatusCode if c is not StatusCode.OK])
async def test_every_status(make: Make, peer: Peer, code: StatusCode) -> None:
    error = await refused(make(peer.port), f"{code.value[0]}:50 % – né\n".encode(), FAIL)
    assert (error.code, error.details) == (code, "50 % – né\n")
    assert error.trailing["x-error-code"] == "made-up"


async def test_an_unknown_method(make: Make, peer: Peer) -> None:
    assert (await refused(make(peer.port), path="/a.B/C")).code is StatusCode.UNIMPLEMENTED


async def test_a_deadline_and_a_cancellation(make: Make, peer: Peer) -> None:
    channel = make(peer.port)
    error = await refused(channel, path=WAIT, timeout_seconds=0.2)
    assert error.code is StatusCode.DEADLINE_EXCEEDED
    await until(lambda: peer.cancelled == 1)
    going = asyncio.ensure_future(call(channel, path=WAIT))
    await asyncio.sleep(0.1)
    going.cancel()
    await until(lambda: peer.cancelled == 2)
    assert going.cancelled()
    assert channel._connection is not None
    assert not channel._connection.streams
    assert await call(channel) == b"x"


async def test_large_messages_and_many(make: Make, peer: Peer) -> None:
    channel = make(peer.port)
    size = 30 << 20
    found = await asyncio.gather(
        call(channel, bytes(size), timeout_seconds=20),
        call(channel, b"%d" % size, BIG, timeout_seconds=20),
    )
    assert [len(each) for each in found] == [size, size]
    contents = [b"%d" % n * 50 for n in range(500)]
    many = [call(channel, c, timeout_seconds=20) for c in contents]
    assert await asyncio.gather(*many) == contents


async def test_an_answer_that_is_too_large(make: Make, peer: Peer) -> None:
    channel = make(peer.port, 1000)
    assert (await refused(channel, b"100000", BIG)).code is StatusCode.RESOURCE_EXHAUSTED
    assert await call(channel) == b"x"


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_answers(make: Make, kind: grpc.Compression) -> None:
    peer = Peer(compression=kind)
    await peer.server.start()
    assert await call(make(peer.port), b"abc" * 1000) in (b"abc" * 1000,)
    await peer.stop()


async def test_few_calls_at_a_time(make: Make) -> None:
    peer = Peer(maximum_concurrent_rpcs=None)
    await peer.server.start()
    assert await asyncio.gather(*(call(make(peer.port)) for _ in range(20))) == [b"x"] * 20
    await peer.stop()


# Our own server, and both ends at once.


async def test_64_mb_both_ways_at_once(make: Make) -> None:
    async with listening(Echo().service()) as listener:
        channel = make(listener.port)
        size = MOST - 100
        found = await asyncio.gather(
            *(call(channel, bytes(size), timeout_seconds=30) for _ in range(2)),
            call(channel, b"%d" % size, BIG, timeout_seconds=30),
        )
        assert [len(each) for each in found] == [size] * 3


async def test_a_restart_fails_no_call(make: Make) -> None:
    """The old server drains, and the new one takes over its port."""
    stop = asyncio.Event()
    counts = [0, 0]

    async def work(channel: Channel, number: int) -> None:
        while not stop.is_set():
            assert await call(channel, b"%d" % number) == b"%d" % number
            counts[0] += 1

    echo = Echo()
    first = GrpcListener(echo.service(), "127.0.0.1", 0)
    await first.start()
    channel = make(first.port, attempts=3)
    working = [asyncio.ensure_future(work(channel, n)) for n in range(8)]
    for _ in range(3):
        await asyncio.sleep(0.05)
        second = GrpcListener(echo.service(), "127.0.0.1", first.port)
        stopping = asyncio.ensure_future(first.stop(5))
        await asyncio.sleep(0)
        await second.start()
        await stopping
        first = second
    stop.set()
    await asyncio.gather(*working)
    assert counts[0] > 100
    await channel.close()
    await first.stop(0)


# Servers that follow a script.


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_goaway_before_a_call(make: Make, attempts: int) -> None:
    away = frames.goaway(2**31 - 1, ErrorCode.NO_ERROR)

    async def once(raw: Raw) -> None:
        stream, _ = await request(raw)
        await raw.send(frames.settings({}), answer(raw, stream), away)

    async with Scripted(once) as server:
        channel = make(server.port, attempts=attempts)
        for _ in range(5):
            assert await call(channel) == b"yes"
        assert server.connections == 5


async def test_a_goaway_in_the_middle(make: Make) -> None:
    async def script(raw: Raw) -> None:
        await raw.send(frames.settings({}))
        first, _ = await request(raw)
        await request(raw)
        await raw.send(frames.goaway(first, ErrorCode.NO_ERROR))
        await asyncio.sleep(0.05)
        await raw.send(answer(raw, first, b"first"))

    async with Scripted(script, answering) as server:
        channel = make(server.port)
        assert await asyncio.gather(call(channel), call(channel)) == [b"first", b"yes"]
        assert server.connections == 2


async def test_a_connection_that_is_given_up_is_closed(make: Make) -> None:
    closed = asyncio.Event()

    async def script(raw: Raw) -> None:
        stream, _ = await request(raw)
        await raw.send(frames.settings({}), frames.goaway(stream, ErrorCode.NO_ERROR))
        await raw.ended()
        closed.set()

    async with Scripted(script) as server:
        error = await refused(make(server.port), timeout_seconds=0.2)
        assert error.code is StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(closed.wait(), 1)


def reset(code: int) -> Callable[[Raw, int], bytes]:
    return lambda raw, stream: frames.rst_stream(stream, code)  # type: ignore[arg-type]


def alone(*fields: tuple[str, str]) -> Callable[[Raw, int], bytes]:
    return lambda raw, stream: raw.headers(stream, fields, True)


async def test_a_refused_stream_is_tried_again_once(make: Make) -> None:
    tries = 0

    async def refusing(raw: Raw) -> None:
        nonlocal tries
        while True:
            stream, _ = await request(raw)
            tries += 1
            await raw.send(frames.rst_stream(stream, ErrorCode.REFUSED_STREAM))

    assert await status_of(make, refusing) is StatusCode.UNAVAILABLE
    assert tries == 2
    assert await status_of(make, refusing, attempts=3) is StatusCode.UNAVAILABLE
    assert tries == 2 + 4


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.NO_ERROR, StatusCode.INTERNAL),
        (ErrorCode.CANCEL, StatusCode.CANCELLED),
        (ErrorCode.ENHANCE_YOUR_CALM, StatusCode.RESOURCE_EXHAUSTED),
        (ErrorCode.PROTOCOL_ERROR, StatusCode.INTERNAL),
        (0xABCD, StatusCode.INTERNAL),
    ],
)
async def test_resets(make: Make, code: int, status: StatusCode) -> None:
    assert await status_of(make, saying(reset(code))) is status


@pytest.mark.parametrize(
    ("http", "status"),
    [
        ("400", StatusCode.INTERNAL),
        ("401", StatusCode.UNAUTHENTICATED),
        ("404", StatusCode.UNIMPLEMENTED),
        ("503", StatusCode.UNAVAILABLE),
        ("504", StatusCode.UNAVAILABLE),
        ("500", StatusCode.UNKNOWN),
        ("302", StatusCode.UNKNOWN),
    ],
)
async def test_answers_of_one_who_speaks_no_grpc(make: Make, http: str, status: StatusCode) -> None:
    text = [(":status", http), ("content-type", "text/html")]
    assert await status_of(make, saying(alone(*text))) is status
    longer = saying(
        lambda raw, stream: raw.headers(stream, text),
        lambda raw, stream: frames.frame(frames.DATA, 1, stream, b"<html>"),
    )
    assert await status_of(make, longer) is status


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([alone(*BEGIN, ("grpc-status", "5"))], StatusCode.NOT_FOUND),
        ([alone((":status", "503"), ("grpc-status", "5"))], StatusCode.NOT_FOUND),
        ([alone(*BEGIN)], StatusCode.UNKNOWN),
        ([alone(*BEGIN, ("grpc-status", "x"))], StatusCode.UNKNOWN),
        ([alone(*BEGIN, ("grpc-status", "9" * 5000))], StatusCode.UNKNOWN),
        ([alone(*BEGIN, ("grpc-status", "0"))], StatusCode.INTERNAL),
        (
            [
                lambda raw, stream: raw.headers(stream, BEGIN),
                lambda raw, stream: frames.frame(frames.DATA, 1, stream, body(b"x")),
            ],
            StatusCode.INTERNAL,
        ),
        (
            [
                lambda raw, stream: raw.headers(stream, BEGIN),
                lambda raw, stream: frames.frame(frames.DATA, 0, stream, body(b"x")[:-1]),
                lambda raw, stream: raw.headers(stream, DONE, True),
            ],
            StatusCode.INTERNAL,
        ),
        ([lambda raw, stream: frames.frame(frames.DATA, 0, stream, b"x")], StatusCode.INTERNAL),
        (
            [alone(*BEGIN, *((f"x-{n}", "y" * 4000) for n in range(10)))],
            StatusCode.INTERNAL,
        ),
    ],
)
async def test_answers_that_are_none(make: Make, parts: list[Any], status: StatusCode) -> None:
    assert await status_of(make, saying(*parts)) is status


async def test_what_comes_before_an_answer(make: Make) -> None:
    early = saying(
        lambda raw, stream: raw.headers(stream, [(":status", "103"), ("link", "x")]),
        frames.frame(0xFA, 0, 0),
        lambda raw, stream: frames.window_update(stream, 5),
        answer,
    )
    async with Scripted(early) as server:
        assert await call(make(server.port)) == b"yes"


async def test_an_answer_before_the_message_has_gone(make: Make) -> None:
    async def script(raw: Raw) -> None:
        await raw.send(frames.settings({}))
        _, _, stream, _ = await raw.next(frames.HEADERS)
        await raw.send(alone(*BEGIN, ("grpc-status", "8"))(raw, stream))
        _, _, given_up, _ = await raw.next(frames.RST_STREAM)
        assert given_up == stream
        await raw.send(frames.window_update(0, 1 << 20))
        stream, _ = await request(raw)
        await raw.send(answer(raw, stream))

    async with Scripted(script) as server:
        channel = make(server.port)
        assert (await refused(channel, bytes(1 << 20))).code is StatusCode.RESOURCE_EXHAUSTED
        assert await call(channel) == b"yes"


@pytest.mark.parametrize("most", [1, 3])
async def test_as_many_calls_as_the_server_takes(make: Make, most: int) -> None:
    open_now = largest = 0

    async def script(raw: Raw) -> None:
        nonlocal open_now, largest
        await raw.send(frames.settings({frames.MAX_CONCURRENT_STREAMS: most}))
        # What was begun before it could know counts for nothing.
        while (frame := await raw.frame()) is not None:
            kind, flags, stream, payload = frame
            if kind == frames.HEADERS:
                raw.fields(payload)
                open_now += 1
                largest = max(largest, open_now)
            elif kind == frames.DATA and flags & frames.END_STREAM:
                await asyncio.sleep(0.001)
                open_now -= 1
                await raw.send(answer(raw, stream))

    async with Scripted(script) as server:
        channel = make(server.port)
        assert await call(channel) == b"yes"
        going = [asyncio.ensure_future(call(channel)) for _ in range(50)]
        await asyncio.sleep(0.01)
        for given_up in going[10:20]:
            given_up.cancel()
        late = [refused(channel, timeout_seconds=0.001) for _ in range(5)]
        for error in await asyncio.gather(*late):
            assert error.code is StatusCode.DEADLINE_EXCEEDED
        found = await asyncio.gather(*going, return_exceptions=True)
        assert found.count(b"yes") >= 40
        assert largest <= most
        assert server.connections == 1


async def test_calls_that_were_begun_too_early_make_no_room_for_more(make: Make) -> None:
    """Envoy hangs up on a client that begins more than the limit which it has acknowledged."""
    most, open_now, largest = 5, 0, 0

    def reply(raw: Raw, stream: int) -> None:
        nonlocal open_now
        open_now -= 1
        raw.writer.write(answer(raw, stream))

    async def script(raw: Raw) -> None:
        nonlocal open_now, largest
        early = [(await request(raw))[0] for _ in range(FIRST_STREAMS)]
        await raw.send(frames.settings({frames.MAX_CONCURRENT_STREAMS: most}))
        await raw.send(*(frames.rst_stream(n, ErrorCode.REFUSED_STREAM) for n in early))
        while (frame := await raw.frame()) is not None:
            kind, flags, stream, payload = frame
            if kind == frames.HEADERS:
                raw.fields(payload)
                open_now += 1
                largest = max(largest, open_now)
            elif kind == frames.DATA and flags & frames.END_STREAM:
                asyncio.get_running_loop().call_later(0.003, reply, raw, stream)

    async with Scripted(script) as server:
        channel = make(server.port)
        assert await asyncio.gather(*(call(channel) for _ in range(300))) == [b"yes"] * 300
        assert largest == most
        assert server.connections == 1


async def test_not_too_many_calls_before_the_server_has_spoken(make: Make) -> None:
    begun = 0

    async def script(raw: Raw) -> None:
        nonlocal begun
        end = asyncio.get_running_loop().time() + 0.1
        waiting = []
        while asyncio.get_running_loop().time() < end and begun < FIRST_STREAMS:
            stream, _ = await request(raw)
            begun += 1
            waiting.append(stream)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(raw.next(frames.HEADERS), 0.1)
        await raw.send(frames.settings({}), *(answer(raw, stream) for stream in waiting))
        while True:
            stream, _ = await request(raw)
            await raw.send(answer(raw, stream))

    async with Scripted(script) as server:
        channel = make(server.port)
        found = await asyncio.gather(*(call(channel) for _ in range(FIRST_STREAMS + 20)))
        assert found == [b"yes"] * (FIRST_STREAMS + 20)
        assert begun == FIRST_STREAMS


async def test_a_window_of_one_byte(make: Make) -> None:
    async def script(raw: Raw) -> None:
        await raw.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1}))
        _, _, stream, _ = await raw.next(frames.HEADERS)
        sizes = []
        while True:
            _, flags, _, payload = await raw.next(frames.DATA)
            sizes.append(len(payload))
            if flags & frames.END_STREAM:
                break
            await raw.send(frames.window_update(stream, 1))
        assert sizes[-5:] == [1] * 5
        await raw.send(answer(raw, stream))

    async with Scripted(script) as server:
        channel = make(server.port)
        connecting = await channel._connect(asyncio.get_running_loop().time() + 1)
        await until(lambda: connecting._peer_window == 1)
        assert await call(channel, b"z" * 20) == b"yes"


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_connection_that_is_dropped_in_the_middle(make: Make, attempts: int) -> None:
    half = saying(
        lambda raw, stream: answer(raw, stream)[:-3],
        then="hang up",
    )
    async with Scripted(half, answering) as server:
        channel = make(server.port, attempts=attempts)
        if attempts == 1:
            assert (await refused(channel)).code is StatusCode.UNAVAILABLE
        assert await call(channel) == b"yes"


async def test_a_server_that_hangs_up_at_once(make: Make) -> None:
    """No call may wait for an answer on a connection that is gone before it begins."""

    async def nothing(raw: Raw) -> None:
        await raw.close()

    async with Scripted(nothing) as server:
        channel = make(server.port)
        for _ in range(10):
            error = await refused(channel, timeout_seconds=3)
            assert error.code is StatusCode.UNAVAILABLE
        assert server.connections <= 20


async def test_attempts_are_counted(make: Make) -> None:
    tries = 0

    async def unavailable(raw: Raw) -> None:
        nonlocal tries
        await raw.send(frames.settings({}))
        while True:
            stream, _ = await request(raw)
            tries += 1
            await raw.send(alone(*BEGIN, ("grpc-status", "14"))(raw, stream))

    for attempts in (1, 2, 4):
        tries = 0
        assert await status_of(make, unavailable, attempts=attempts) is StatusCode.UNAVAILABLE
        assert tries == attempts
    tries = 0
    async with Scripted(unavailable) as server:
        await refused(make(server.port, attempts=100), timeout_seconds=0.3)
    assert 2 <= tries <= 5


async def test_nobody_listens_and_then_somebody_does(make: Make) -> None:
    port = free_port()
    channel = make(port, attempts=20)
    assert (await refused(make(port))).code is StatusCode.UNAVAILABLE
    going = asyncio.ensure_future(call(channel))
    await asyncio.sleep(0.2)
    echo = Echo()
    listener = GrpcListener(echo.service(), "127.0.0.1", port)
    await listener.start()
    assert await going == b"x"
    await channel.close()
    await listener.stop(0)


async def test_a_deadline_while_connecting(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
        channel = make(port)
        error = await refused(channel, timeout_seconds=0.2)
        assert error.code is StatusCode.DEADLINE_EXCEEDED
        monkeypatch.setattr(channels, "CONNECT_SECONDS", 0.2)
        await channel.close()
        assert (await refused(make(port))).code is StatusCode.UNAVAILABLE
        for other in others:
            other.close()


async def test_a_channel_that_is_closed(make: Make) -> None:
    async with listening(Echo().service()) as listener:
        channel = make(listener.port, attempts=5)
        assert await call(channel) == b"x"
        going = asyncio.ensure_future(refused(channel, path=WAIT))
        await asyncio.sleep(0.05)
        await channel.close()
        assert (await going).code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
        assert (await refused(channel)).code is StatusCode.CANCELLED
        await until(lambda: not listener._service.connections)


async def test_a_channel_that_is_closed_while_it_connects(make: Make) -> None:
    channel = make(free_port(), attempts=5)
    channel._not_before = asyncio.get_running_loop().time() + 3
    going = asyncio.ensure_future(refused(channel))
    await asyncio.sleep(0.02)
    await channel.close()
    assert (await going).code is StatusCode.CANCELLED


async def test_no_number_is_left(make: Make) -> None:
    async with Scripted(answering) as server:
        channel = make(server.port)
        await call(channel)
        assert channel._connection is not None
        channel._connection.begun = 2**31 - 5
        for _ in range(4):
            assert await call(channel) == b"yes"
        assert server.connections == 2


async def test_a_server_that_is_silent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    asked = 0

    async def silent(raw: Raw) -> None:
        nonlocal asked
        while True:
            await raw.next(frames.PING)
            asked += 1

    async with Scripted(silent) as server:
        error = await refused(make(server.port), timeout_seconds=3)
        assert (error.code, asked) == (StatusCode.UNAVAILABLE, 1)


async def test_a_server_that_takes_long_but_lives(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    echo = Echo()
    async with listening(echo.service()) as listener:
        channel = make(listener.port)
        going = asyncio.ensure_future(call(channel, path=WAIT))
        await asyncio.sleep(0.4)
        echo.go_on.set()
        assert await going == b"x"


@pytest.mark.parametrize(
    ("target", "authority", "seen"),
    [("127.0.0.1:{}", "", "127.0.0.1:{}"), ("dns:///127.0.0.1:{}", "models.example", None)],
)
async def test_what_a_gateway_routes_by(target: str, authority: str, seen: str | None) -> None:
    given: list[dict[str, str]] = []

    async def script(raw: Raw) -> None:
        await raw.send(frames.settings({}))
        stream, fields = await request(raw)
        given.append(fields)
        await raw.send(answer(raw, stream))

    async with Scripted(script) as server:
        channel = Channel(target.format(server.port), MOST, authority=authority)
        await channel.call(ECHO, message(b"x"), 5.0)
        await channel.close()
        (fields,) = given
        assert fields[":authority"] == (seen or authority).format(server.port)
        assert (fields[":path"], fields[":scheme"], fields["te"]) == (ECHO, "http", "trailers")


@pytest.mark.parametrize("target", ["", "host", "host:", ":80", "host:http", "unix:/x"])
def test_targets_that_are_none(target: str) -> None:
    with pytest.raises(ValueError, match="no host:port"):
        Channel(target, MOST)


# TLS.


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-made certificate for 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls(make: Make, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    service = Echo().service()
    chosen = []

    class Noting(ServerConnection):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            chosen.append(transport.get_extra_info("ssl_object").selected_alpn_protocol())

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Noting(service), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    assert (await refused(make(port, use_ssl=True))).code is StatusCode.UNAVAILABLE
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    channel = make(port, use_ssl=True)
    assert await call(channel) == b"x"
    size = 20 << 20
    found = await asyncio.gather(call(channel, bytes(size)), call(channel, b"%d" % size, BIG))
    assert [len(each) for each in found] == [size, size]
    assert chosen[-1] == "h2"
    await channel.close()
    server.close()
    await service.drain(1)
    assert not service.connections

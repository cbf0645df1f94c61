"""The first bytes of a connection, on real sockets of a real uvicorn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from serving import connection
from serving.connection import FirstHead
from serving.edge import Edge
from serving.settings import ServerSettings
from tests.serving.fake import SumModel, repository

BODY = json.dumps({"instances": [1, 2]}).encode()
PREDICT = b"POST /v1/models/sum:predict HTTP/1.1\r\nHost: x\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA\r\n"
OFFERS = {
    "h2c": OFFER,
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "nothing": b"",
}
SECOND = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def listening(model: SumModel) -> AsyncIterator[int]:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 203, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    edge = Edge(behind, repository(model), ServerSettings())
    config = uvicorn.Config(
        edge, "127.0.0.1", 0, http=FirstHead, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


async def talk(port: int, *parts: bytes) -> bytes:
    """Send in segments; what comes back until nothing more does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05)
    found = b""
    while True:
        try:
            part = await asyncio.wait_for(reader.read(1 << 16), 0.5)
        except asyncio.TimeoutError:
            break
        if not part:
            break
        found += part
    writer.close()
    return found


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("segments", [1, 2, 3])
async def test_an_offer_to_upgrade_is_ignored_and_the_body_kept(offer: str, segments: int) -> None:
    model = SumModel()
    head = PREDICT + OFFERS[offer] + LENGTH + b"\r\n"
    parts = {
        1: [head + BODY],
        2: [head, BODY],
        3: [head[:30], head[30:] + BODY[:5], BODY[5:]],
    }[segments]
    async with listening(model) as port:
        found = await talk(port, *parts)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b'{"predictions": [3]}' in found
    assert [request.body for request in model.requests] == [BODY]


@pytest.mark.parametrize("offer", OFFERS)
async def test_a_body_is_never_run_as_a_request(offer: str) -> None:
    model = SumModel()
    body = PREDICT + LENGTH + b"\r\n" + BODY
    head = PREDICT + OFFERS[offer] + b"Content-Length: %d\r\n\r\n" % len(body)
    async with listening(model) as port:
        found = await talk(port, head, body)
    assert found.count(b"HTTP/1.1 ") == 1
    assert [request.body for request in model.requests] == [body]


@pytest.mark.parametrize("offer", OFFERS)
async def test_the_next_request_of_the_connection_is_answered(offer: str) -> None:
    async with listening(SumModel()) as port:
        first = PREDICT + OFFERS[offer] + LENGTH + b"\r\n" + BODY
        found = await talk(port, first, SECOND)
    assert found.count(b"HTTP/1.1 200 ") == 1
    assert found.count(b"HTTP/1.1 203 ") == 1


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
@pytest.mark.parametrize("path", [b"/v1/models/sum:predict", b"/v2/health/live", b"/nothing"])
async def test_a_late_offer_is_refused_and_its_body_not_run(offer: str, path: bytes) -> None:
    model = SumModel()
    body = PREDICT + LENGTH + b"\r\n" + BODY
    late = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + OFFERS[offer]
    late += b"Content-Length: %d\r\n\r\n" % len(body)
    async with listening(model) as port:
        found = await talk(port, PREDICT + LENGTH + b"\r\n" + BODY, late, body)
    assert found.count(b"HTTP/1.1 ") == 2
    assert found.count(b"HTTP/1.1 400 ") == 1
    assert b"late_upgrade" in found
    assert len(model.requests) == 1


@pytest.mark.parametrize("ended", [True, False])
async def test_a_head_beyond_the_limit_is_431(ended: bool) -> None:
    model = SumModel()
    head = PREDICT + b"X-Long: " + b"x" * (connection.MAX_HEAD_BYTES + 1)
    async with listening(model) as port:
        found = await talk(port, head + (b"\r\n\r\n" if ended else b""))
    assert found.startswith(b"HTTP/1.1 431 ")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["code"] == "head_too_large"
    assert model.requests == []


@pytest.mark.parametrize("begun", [b"", PREDICT])
async def test_a_connection_without_a_whole_head_is_closed(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    async with listening(SumModel()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


@pytest.mark.parametrize("value", [1, 1000])
async def test_a_later_head_beyond_the_limit_is_431(value: int) -> None:
    model = SumModel()
    line = b"X-Long: " + b"x" * value + b"\r\n"
    lines = (line * 10_000)[:90_000]
    async with listening(model) as port:
        parts = [lines[start : start + 30_000] for start in range(0, len(lines), 30_000)]
        found = await talk(port, SECOND, PREDICT, *parts)
    assert found.startswith(b"HTTP/1.1 203 ")
    assert found.count(b"HTTP/1.1 431 ") == 1
    assert model.requests == []


async def test_a_large_body_is_no_part_of_the_head_behind_it() -> None:
    model = SumModel()
    large = b'{"instances": [1, 2], "more": "' + b"x" * 2 * connection.MAX_HEAD_BYTES + b'"}'
    request = PREDICT + b"Content-Length: %d\r\n\r\n" % len(large) + large
    async with listening(model) as port:
        found = await talk(port, SECOND, request + SECOND[:20], SECOND[20:])
    assert found.count(b"HTTP/1.1 203 ") == 2
    assert b"HTTP/1.1 431 " not in found


async def test_a_later_head_that_does_not_end_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    async with listening(SumModel()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(SECOND)
        assert (await reader.read(1 << 16)).startswith(b"HTTP/1.1 203 ")
        writer.write(PREDICT)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_what_is_no_http_is_refused_at_once() -> None:
    async with listening(SumModel()) as port:
        assert (await talk(port, b"\x16\x03\x01")).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_that_waits_does_not_hold_the_server_up() -> None:
    async with listening(SumModel()) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREDICT)
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.close()


def test_it_is_the_same_on_the_event_loop_of_the_servers() -> None:
    async def talked() -> bytes:
        async with listening(SumModel()) as port:
            offered = PREDICT + OFFER + LENGTH + b"\r\n" + BODY
            return await talk(port, offered) + await talk(port, SECOND)

    found = uvloop.run(talked())
    assert found.count(b"HTTP/1.1 200 ") == 1
    assert found.count(b"HTTP/1.1 203 ") == 1

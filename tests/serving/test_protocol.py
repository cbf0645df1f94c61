"""The short way and the ASGI way of a prediction: whatever is sent, the same comes back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.admission import Admission
from serving.errors import Overloaded, Unavailable
from serving.http import Edge
from serving.protocol import ShortProtocol
from serving.refusals import A_TURN, Refusals
from serving.settings import ServerSettings
from tests.serving.fake import SumModel, repository, sample

LIMIT = 2048
ROOM = 3
GOOD = json.dumps({"instances": [1, 2]}).encode()


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the edge."""
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 203, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Server:
    """One real server on a socket; counts the requests that came as ASGI calls."""

    def __init__(self, protocol: type[asyncio.Protocol]) -> None:
        self.model = SumModel()
        self.asgi = 0
        self.unready = SumModel("unready", ready=False)
        self.admission = Admission(ROOM, 1 << 30, 1)
        edge = Edge(
            inner,
            repository(self.model, self.unready),
            ServerSettings(max_body_bytes=LIMIT),  # type: ignore[call-arg]
            self.admission,
        )
        call = edge.__call__

        class Counting(Edge):
            async def __call__(_, scope: Any, receive: Any, send: Any) -> None:
                self.asgi += scope["type"] == "http"
                await call(scope, receive, send)

        edge.__class__ = Counting
        config = uvicorn.Config(
            edge, port=0, http=protocol, log_config=None, lifespan="off", proxy_headers=False
        )
        self.uvicorn = uvicorn.Server(config)
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        config = self.uvicorn.config
        config.load()
        self.uvicorn.lifespan = config.lifespan_class(config)
        await self.uvicorn.startup()
        self.port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await self.uvicorn.shutdown()


@contextlib.asynccontextmanager
async def served(protocol: type[asyncio.Protocol]) -> AsyncIterator[Server]:
    async with Server(protocol).running() as server:
        yield server


class Answer:
    """One HTTP answer, as ``httptools`` reads it."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.status = 0
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode(), value.decode()))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    def comparable(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All of it but the time of day and what is random."""
        headers = [h for h in self.headers if h[0] != "date"]
        made = [re.sub(r"^[0-9a-f]{8}-[0-9a-f-]{27}$", "a uuid", value) for _, value in headers]
        return self.status, [(h[0], v) for h, v in zip(headers, made, strict=True)], self.body


async def exchange(port: int, parts: list[bytes], answers: int = 1) -> tuple[list[Answer], bool]:
    """Send ``parts`` one after the other; the answers, and whether the server then hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01 if len(parts) > 1 else 0)
        found: list[Answer] = []
        rest = b""
        while len(found) < answers:
            answer = Answer()
            parser = httptools.HttpResponseParser(answer)
            while not answer.complete:
                if not rest:
                    rest = await asyncio.wait_for(reader.read(65536), 5)
                    if not rest:
                        raise AssertionError("the server hung up")
                # One byte at a time: a parser reads on into the next answer.
                parser.feed_data(rest[:1])
                rest = rest[1:]
            answer.status = parser.get_status_code()
            found.append(answer)
        closed = False
        with contextlib.suppress(asyncio.TimeoutError):
            closed = await asyncio.wait_for(reader.read(1), 0.05) == b""
        return found, closed
    finally:
        writer.close()


def raw(
    body: bytes = GOOD,
    path: str = "/v1/models/sum:predict",
    method: str = "POST",
    version: str = "1.1",
    length: bool = True,
    **headers: str,
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


V2 = json.dumps(
    {"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
).encode()
CHUNKED = b"%x\r\n" % len(GOOD) + GOOD + b"\r\n0\r\n\r\n"

SHORT: dict[str, list[bytes]] = {
    "v1": [raw()],
    "v2": [raw(V2, "/v2/models/sum/infer")],
    "v2 with a version": [raw(V2, "/v2/models/sum/versions/3/infer")],
    "v2 with another version": [raw(V2, "/v2/models/sum/versions/4/infer")],
    "a request id": [raw(X_Request_Id="mine")],
    "a request id that cannot be": [raw(X_Request_Id="a b")],
    "close": [raw(Connection="close")],
    "an empty body": [raw(b"")],
    "not JSON": [raw(b"{")],
    "an instance at fault": [raw(json.dumps({"instances": [1, "x"]}).encode())],
    "an unknown model": [raw(path="/v1/models/nobody:predict")],
    "an unready model": [raw(path="/v1/models/unready:predict")],
    "explain": [raw(path="/v1/models/sum:explain")],
    "too large": [raw(bytes(LIMIT + 1))],
    "many headers": [raw(**{f"h{n}": "v" for n in range(50)})],
    "a header twice": [raw(b"", a="1", A="2")],
}
LONG: dict[str, list[bytes]] = {
    "a query": [raw(path="/v1/models/sum:predict?a=b")],
    "an escape": [raw(path="/v1/models/s%75m:predict")],
    "HTTP/1.0": [raw(version="1.0")],
    "HTTP/1.0 kept alive": [raw(version="1.0", Connection="keep-alive")],
    "GET": [raw(b"", method="GET")],
    "PUT": [raw(method="PUT")],
    "chunked": [raw(CHUNKED, length=False, Transfer_Encoding="chunked")],
    "no length": [raw(b"", length=False)],
    "two parts": [raw()[:-5], raw()[-5:]],
    "many parts": [raw()[n : n + 9] for n in range(0, len(raw()), 9)],
    "head first": [raw()[: -len(GOOD)], GOOD],
    "announced as too large": [raw(b"")[:-4].replace(b": 0", b": 9999") + b"\r\n\r\n" + b"x"],
    "too many headers": [raw(**{f"h{n}": "v" for n in range(70)})],
    "an upgrade": [raw(Connection="Upgrade", Upgrade="h2c")],
    "another route": [raw(path="/v2/health/ready")],
    "not HTTP": [b"hello\r\n\r\n"],
}


def counts() -> dict[str, float]:
    found = {}
    for protocol in ("v1", "v2"):
        for code in ("200", "400", "404", "405", "413", "422", "429", "500", "501", "503"):
            for model in ("sum", "unready", ""):
                for revision in ("3", ""):
                    labels = {
                        "model_name": model,
                        "revision": revision,
                        "protocol": protocol,
                        "code": code,
                    }
                    found[str(labels)] = sample("vision_requests_total", **labels)
        labels = {"model_name": "sum", "revision": "3", "protocol": protocol}
        found[f"seconds {protocol}"] = sample("vision_request_seconds_count", **labels)
    for stage in ("preprocess", "predict", "postprocess"):
        found[stage] = sample(f"request_{stage}_seconds_count", model_name="sum")
    found["instances"] = sample("vision_instances_total", model_name="sum", revision="3")
    return found


def difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


@pytest.mark.parametrize("name", [*SHORT, *LONG])
async def test_the_same_comes_back_and_is_counted(name: str) -> None:
    parts = {**SHORT, **LONG}[name]
    found = []
    for protocol in (HttpToolsProtocol, ShortProtocol):
        async with served(protocol) as server:
            before = counts()
            (answer,), closed = await exchange(server.port, parts)
            found.append((answer.comparable(), closed, difference(counts(), before)))
            if protocol is ShortProtocol:
                assert server.asgi == (name in LONG and name != "not HTTP")
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "fault", [RuntimeError("a secret"), Unavailable("gone"), Overloaded("too many")]
)
async def test_faults_of_a_model(fault: Exception) -> None:
    found = []
    for protocol in (HttpToolsProtocol, ShortProtocol):
        async with served(protocol) as server:
            server.model.fault = fault
            (answer,), closed = await exchange(server.port, [raw()])
            assert b"secret" not in answer.body
            found.append((answer.comparable(), closed))
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [GOOD, bytes(LIMIT + 1)])
async def test_where_there_is_no_room(size: bytes) -> None:
    found = []
    for protocol in (HttpToolsProtocol, ShortProtocol):
        async with served(protocol) as server:
            for _ in range(ROOM):
                server.admission.enter(1)
            before = counts()
            (answer,), closed = await exchange(server.port, [raw(size, X_Request_Id="mine")])
            found.append((answer.comparable(), closed, difference(counts(), before)))
            assert server.model.requests == []
            server.admission.leave(1, answered=False)
            (answer,), _ = await exchange(server.port, [raw()])
            assert answer.status == 200
            assert server.admission.requests == ROOM - 1
    assert found[0] == found[1]
    status, headers, _ = found[0][0]
    if size is GOOD:
        assert (status, dict(headers)["retry-after"]) == (429, "1")
    else:
        assert status == 413


async def test_a_request_leaves_whatever_becomes_of_it() -> None:
    for protocol in (HttpToolsProtocol, ShortProtocol):
        async with served(protocol) as server:
            for parts in (*SHORT.values(), *LONG.values()):
                await exchange(server.port, parts)
            assert server.admission.requests == 0


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with served(ShortProtocol) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for number in range(5):
            writer.write(raw(json.dumps({"instances": [number]}).encode()))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.findall(rb"content-length: (\d+)", head)[0])
            assert json.loads(await reader.readexactly(length)) == {"predictions": [number]}
        writer.close()
        assert server.asgi == 0
        assert server.uvicorn.server_state.total_requests == 5


async def test_a_request_leaves_nothing_to_the_garbage_collector() -> None:
    async with served(ShortProtocol) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def ask(times: int) -> None:
            for _ in range(times):
                writer.write(raw())
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))

        await ask(3)
        gc.collect()
        gc.disable()
        try:
            await ask(50)
            assert gc.collect() < 50
        finally:
            gc.enable()
        writer.close()


async def test_many_are_refused_while_one_is_answered() -> None:
    async with served(ShortProtocol) as server:
        for _ in range(ROOM):
            server.admission.enter(1)
        count = 3 * A_TURN
        refused = asyncio.gather(*(exchange(server.port, [raw()]) for _ in range(count)))
        answers = [answer for (answer,), _ in await refused]
        assert {answer.status for answer in answers} == {429}
        assert {dict(answer.headers)["retry-after"] for answer in answers} == {"1"}
        ids = {dict(answer.headers)["x-request-id"] for answer in answers}
        assert len(ids) == count


async def test_who_hangs_up_is_refused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(ShortProtocol) as server:
        for _ in range(ROOM):
            server.admission.enter(1)
        waiting: list[Callable[[], None]] = []
        monkeypatch.setattr(Refusals, "add", lambda self, send: waiting.append(send))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(raw())
        while not waiting:
            await asyncio.sleep(0.001)
        writer.close()
        while server.uvicorn.server_state.connections:
            await asyncio.sleep(0.001)
        waiting[0]()


@pytest.mark.parametrize("busy", [False, True])
async def test_a_connection_is_kept_for_as_long_as_it_is_used(busy: bool) -> None:
    """The time begins with the last answer, and does not run while a request is under way."""
    server = Server(ShortProtocol)
    server.uvicorn.config.timeout_keep_alive = patience = 0.5  # type: ignore[assignment]
    async with server.running():
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(3):
            server.model.pause = 1.5 * patience if busy else 0.0
            writer.write(raw())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
            answered = loop.time()
            await asyncio.sleep(0.4 * patience)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert 0.9 * patience < loop.time() - answered < 4.5
        writer.close()


async def test_requests_behind_each_other_are_answered_in_order() -> None:
    bodies = [json.dumps({"instances": [n]}).encode() for n in range(6)]
    for protocol in (HttpToolsProtocol, ShortProtocol):
        async with served(protocol) as server:
            paths = ["/v1/models/sum:predict"] * 5 + ["/v2/health/live"]
            sent = b"".join(raw(b, p) for b, p in zip(bodies, paths, strict=True))
            answers, _ = await exchange(server.port, [sent], 6)
            assert [a.body for a in answers[:5]] == [b'{"predictions": [%d]}' % n for n in range(5)]
            assert answers[5].body == b"/v2/health/live"


async def test_who_hangs_up_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(ShortProtocol) as server:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def predict(*arguments: Any) -> Any:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        monkeypatch.setattr(server.model, "predict", predict)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(raw())
        await asyncio.wait_for(begun.wait(), 5)
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.sleep(0.01)
        assert not server.uvicorn.server_state.tasks


async def test_a_header_that_would_end_its_line_is_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(ShortProtocol) as server:
        server.model.revision = "3\r\nset-cookie: a"
        with pytest.raises(AssertionError, match="hung up"):
            await exchange(server.port, [raw()])
    assert "Invalid HTTP header value" in caplog.text


async def test_requests_in_flight_finish_before_the_server_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(ShortProtocol)
    gate, begun = asyncio.Event(), asyncio.Event()
    predict = server.model.predict

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await gate.wait()
        return await predict(*arguments)

    monkeypatch.setattr(server.model, "predict", slow)
    async with server.running():
        asked = asyncio.create_task(exchange(server.port, [raw()]))
        await begun.wait()
        stopping = asyncio.create_task(server.uvicorn.shutdown())
        await asyncio.sleep(0.05)
        gate.set()
        (answer,), closed = await asked
        await stopping
    assert (answer.status, closed) == (200, True)
    assert ("connection", "close") in answer.headers

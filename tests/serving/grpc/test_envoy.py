"""Envoy between the two ends, HTTP/2 on both of its sides, as an ingress puts it there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from grpc import StatusCode

from edge.processes import envoy_program
from serving.grpc.channel import Channel
from serving.grpc.listener import GrpcListener
from serving.grpc.messages import RpcError
from tests.serving.grpc.echo import BIG, ECHO, FAIL, META, WAIT, Echo, message, value
from tests.waiting import until

TYPES = "type.googleapis.com/envoy.extensions"
OPTIONS = f"{TYPES}.upstreams.http.v3.HttpProtocolOptions"
MOST = 64 << 20

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(port)}}
    http2 = {"explicit_http_config": {"http2_protocol_options": {"hpack_table_size": 0}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": OPTIONS, **http2}
        },
    }


def configuration(port: int, upstream: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Envoy on ``port``; ``upstream`` gives each server's port and weight by its name."""
    weights = [{"name": name, "weight": weight} for name, (_, weight) in upstream.items()]
    route = {"weighted_clusters": {"clusters": weights}, "timeout": "0s"}
    hosts = [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
    ]
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hop",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"hpack_table_size": 0, "max_concurrent_streams": 50},
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [router],
    }
    name = "envoy.filters.network.http_connection_manager"
    listener = {
        "address": address(port),
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }
    clusters = [cluster(name, port) for name, (port, _) in upstream.items()]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


class Envoy:
    """One process; started again, it listens where it did."""

    def __init__(self, folder: Path, upstream: dict[str, tuple[int, int]]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._path = folder / "envoy.json"
        self._path.write_text(json.dumps(configuration(self.port, upstream)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = [envoy_program(), "-c", self._path, "--disable-hot-restart"]
        self._process = subprocess.Popen([*program, "--concurrency", "1", "-l", "error"])
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError("Envoy did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Two:
    """Envoy before two servers, of which the second gets every fourth call."""

    def __init__(self) -> None:
        self.echoes = Echo(), Echo()
        self.listeners = [GrpcListener(e.service(), "127.0.0.1", 0) for e in self.echoes]
        self.channel: Channel
        self.envoy: Envoy

    async def call(self, content: bytes = b"x", path: str = ECHO, **options: Any) -> bytes:
        given = {"timeout_seconds": 20.0, **options}
        return value(await self.channel.call(path, message(content), **given))

    async def status_of(self, content: bytes, path: str, **options: Any) -> StatusCode:
        with pytest.raises(RpcError) as caught:
            await self.call(content, path, **options)
        return caught.value.code


@pytest_asyncio.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    found = Two()
    for listener in found.listeners:
        await listener.start()
    ports = [listener.port for listener in found.listeners]
    found.envoy = Envoy(tmp_path, {"stable": (ports[0], 75), "canary": (ports[1], 25)})
    found.envoy.start()
    found.channel = Channel(f"127.0.0.1:{found.envoy.port}", MOST, attempts=20)
    yield found
    await found.channel.close()
    found.envoy.kill()
    for listener in found.listeners:
        await listener.stop(0)


async def test_calls_through_envoy(two: Two) -> None:
    contents = [b"%d" % n * 50 for n in range(400)]
    assert await asyncio.gather(*(two.call(c) for c in contents)) == contents
    # Each call goes its own way, though all share one connection.
    calls = Counter({echo: echo.calls for echo in two.echoes})
    assert calls.total() == len(contents)
    assert 0.12 < two.echoes[1].calls / len(contents) < 0.4
    assert b"'x-request-id': 'abc'" in await two.call(
        b"", META, metadata=[("x-request-id", "abc"), ("traceparent", "y" * 4000)]
    )
    assert await two.status_of(b"5:gone", FAIL) is StatusCode.NOT_FOUND
    assert await two.status_of(b"", "/a.B/C") is StatusCode.UNIMPLEMENTED


async def test_large_messages_through_envoy(two: Two) -> None:
    size = 30 << 20
    found = await asyncio.gather(
        *(two.call(bytes(size)) for _ in range(2)), two.call(b"%d" % size, BIG)
    )
    assert [len(each) for each in found] == [size] * 3


async def test_calls_that_end_early_through_envoy(two: Two) -> None:
    assert await two.status_of(b"", WAIT, timeout_seconds=0.2) is StatusCode.DEADLINE_EXCEEDED
    going = [asyncio.ensure_future(two.call(b"", WAIT)) for _ in range(10)]
    await until(lambda: sum(echo.under_way for echo in two.echoes) == 10)
    for each in going:
        each.cancel()
    await until(lambda: sum(echo.cancelled for echo in two.echoes) == 11)
    assert await two.call() == b"x"


async def test_envoy_and_the_servers_come_again(two: Two) -> None:
    """Calls that may be made twice outlive Envoy's end, and a server's unnoticed."""
    stop = asyncio.Event()

    async def work(number: int) -> int:
        count = 0
        while not stop.is_set():
            assert await two.call(b"%d" % number) == b"%d" % number
            count += 1
        return count

    working = [asyncio.ensure_future(work(n)) for n in range(8)]
    await asyncio.sleep(0.2)
    two.envoy.kill()
    await asyncio.get_running_loop().run_in_executor(None, two.envoy.start)
    await asyncio.sleep(0.2)
    for index, old in enumerate(two.listeners):
        new = GrpcListener(two.echoes[index].service(), "127.0.0.1", old.port)
        stopping = asyncio.ensure_future(old.stop(5))
        await asyncio.sleep(0)
        await new.start()
        two.listeners[index] = new
        await stopping
    await asyncio.sleep(0.2)
    stop.set()
    assert min(await asyncio.gather(*working)) > 10

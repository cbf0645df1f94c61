"""A service of few methods, which says what it was told, and keeps count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.wrappers_pb2 import BytesValue

from serving.grpc.listener import GrpcListener
from serving.grpc.messages import CODES
from serving.grpc.server import Call, Method, Service

ECHO, FAIL, WAIT, BIG, BOOM, META = (
    f"/test.Echo/{name}" for name in ("Echo", "Fail", "Wait", "Big", "Boom", "Meta")
)
MOST = 64 << 20
MOST_HELD = 256 << 20


def message(value: bytes) -> bytes:
    return BytesValue(value=value).SerializeToString()


def value(data: Any) -> bytes:
    return BytesValue.FromString(bytes(data)).value


class Echo:
    """The methods.

    Attributes:
        calls: that have begun.
        under_way: those in ``Wait`` now.
        cancelled: those that were given up there.
        go_on: ends those.
    """

    def __init__(self) -> None:
        self.calls = self.under_way = self.cancelled = 0
        self.go_on = asyncio.Event()

    async def echo(self, request: BytesValue, call: Call) -> BytesValue:
        self.calls += 1
        return request

    async def fail(self, request: BytesValue, call: Call) -> BytesValue:
        code, _, details = request.value.decode().partition(":")
        call.set_trailing_metadata((("x-error-code", "made-up"),))
        await call.abort(CODES[code], details)

    async def wait(self, request: BytesValue, call: Call) -> BytesValue:
        self.calls += 1
        self.under_way += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return request

    async def big(self, request: BytesValue, call: Call) -> BytesValue:
        self.calls += 1
        return BytesValue(value=bytes(int(request.value)))

    async def boom(self, request: BytesValue, call: Call) -> BytesValue:
        raise RuntimeError("a secret")

    async def meta(self, request: BytesValue, call: Call) -> BytesValue:
        return BytesValue(value=repr(dict(call.invocation_metadata())).encode())

    def service(self, most: int = MOST) -> Service:
        read = BytesValue.FromString
        methods = {
            ECHO: Method(read, self.echo),
            FAIL: Method(read, self.fail),
            WAIT: Method(read, self.wait),
            BIG: Method(read, self.big),
            BOOM: Method(read, self.boom),
            META: Method(read, self.meta),
        }
        return Service(methods, most, most, MOST_HELD)


@asynccontextmanager
async def listening(service: Service) -> AsyncIterator[GrpcListener]:
    listener = GrpcListener(service, "127.0.0.1", 0)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop(0)
        for _ in range(200):
            if not service.connections:
                break
            await asyncio.sleep(0.01)
        assert not service.connections
        assert service.held == 0

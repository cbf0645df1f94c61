"""The gRPC server as a whole, asked by other people's stubs."""

from __future__ import annotations

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Engine

from edge.ledger import LedgerDownError
from edge.server import EdgeServer
from tests.accounts.conftest import engine, mariadb, migrated_url, sqlite_template  # noqa: F401


async def test_health_is_that_of_the_ledger(
    engine: Engine,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = EdgeServer(engine, max_in_flight=4)
    port = await server.start("127.0.0.1:0")
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

            async def broken(keys: object) -> None:
                raise LedgerDownError

            monkeypatch.setattr(server._ledger, "look_up", broken)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        await server.stop()

"""The gRPC server that Envoy asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

import grpc
from grpc import aio
from grpc_health.v1.health import SERVICE_NAME
from grpc_health.v1.health_pb2 import HealthCheckResponse
from sqlalchemy import Engine

from accounts.mirror import Mirror
from edge.assignment import Assignments
from edge.check import Check
from edge.directory import Directory
from edge.endings import Endings
from edge.hosts import Hosts
from edge.in_flight import InFlight
from edge.ledger import Ledger, LedgerDownError
from edge.meter import Meter
from edge.rates import Rates
from edge.tries import TryLimits

GRACE_SECONDS = 10.0
MAX_MESSAGE_BYTES = 256 << 10
"""Envoy sends headers alone, of which it takes 60 KiB, and log entries in pieces of 16 KiB."""
MAX_CALLS = 4096
"""Beyond it Envoy is refused at once, and answers 503."""

logger = logging.getLogger("edge.server")


class EdgeServer:
    """Check, meter and log of endings, with one ledger behind them.

    What it hears of its own Envoy and of others is apart, on a port each: another one asks while
    its own check does not answer, and takes the ends of what was let through here elsewhere.

    Args:
        max_in_flight: requests that an account may have under way.
        tries: without a key.
        mirror: has what is billed before its answer goes on.
    """

    def __init__(
        self,
        engine: Engine,
        max_in_flight: int,
        tries: TryLimits | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._ledger = Ledger(engine, mirror=mirror)
        self._directory = Directory(self._ledger)
        self._assignments = Assignments(self._ledger)
        self._hosts = Hosts(self._ledger)
        self._rates = Rates(self._ledger)
        self._in_flight = InFlight(max_in_flight)
        self._tries = tries
        self._servers: list[aio.Server] = []

    async def start(self, address: str, others_address: str = "") -> int:
        """Listen for an Envoy of one's own, and for others where that is wanted.

        Returns:
            The port of the former.

        Raises:
            OSError: an address is taken.
        """
        self._ledger.start()
        # A domain's limits are known before the first request is let through.
        with contextlib.suppress(LedgerDownError):
            await self._hosts.refresh()
        port = await self._listen(address, own=True)
        if others_address:
            await self._listen(others_address, own=False)
        self._refreshers = [
            asyncio.create_task(self._directory.keep_fresh()),
            asyncio.create_task(self._assignments.keep_fresh()),
            asyncio.create_task(self._hosts.keep_fresh()),
        ]
        return port

    async def stop(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*(server.stop(GRACE_SECONDS) for server in self._servers))
        for refresher in self._refreshers:
            refresher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await refresher
        await asyncio.get_running_loop().run_in_executor(None, self._ledger.stop)

    async def _listen(self, address: str, own: bool) -> int:
        server = aio.server(
            options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        server.add_generic_rpc_handlers(self._handlers(own))
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        await server.start()
        self._servers.append(server)
        return int(port)

    def _handlers(self, own: bool) -> tuple[grpc.GenericRpcHandler, ...]:
        parts = (self._directory, self._ledger, self._in_flight)
        check = Check(*parts, self._tries, self._assignments, self._hosts, self._rates, own)
        meter = Meter(self._ledger, self._in_flight)
        endings = Endings(self._ledger, self._in_flight, own)

        async def process(_: object, context: object) -> None:
            await meter.process(context)

        async def log(_: object, context: object) -> bytes:
            return await endings.stream(context)

        async def healthy(_: object, __: object) -> HealthCheckResponse:
            # Whoever can read the ledger, each time anew.
            try:
                await self._ledger.look_up([])
            except LedgerDownError:
                return HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
            return HealthCheckResponse(status=HealthCheckResponse.SERVING)

        services = {
            "envoy.service.auth.v3.Authorization": {
                "Check": grpc.unary_unary_rpc_method_handler(check.check)
            },
            "envoy.service.ext_proc.v3.ExternalProcessor": {
                "Process": grpc.stream_stream_rpc_method_handler(process)
            },
            "envoy.service.accesslog.v3.AccessLogService": {
                "StreamAccessLogs": grpc.stream_unary_rpc_method_handler(log)
            },
            SERVICE_NAME: {
                "Check": grpc.unary_unary_rpc_method_handler(
                    healthy, response_serializer=HealthCheckResponse.SerializeToString
                )
            },
        }
        return tuple(grpc.method_handlers_generic_handler(*item) for item in services.items())


async def serve(server: EdgeServer, address: str, others_address: str = "") -> None:
    """Until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start(address, others_address)
    logger.info("the edge's check listens on %s", address)
    await ended.wait()
    await server.stop()

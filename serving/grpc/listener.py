"""Listening for calls."""

from __future__ import annotations

import asyncio
import contextlib

from serving.grpc.server import ServerConnection, Service


class GrpcListener:
    """Listens, and stops listening.

    Args:
        host: an address; empty for all of them.
    """

    def __init__(self, service: Service, host: str, port: int) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._stopped = asyncio.Event()

    @property
    def port(self) -> int:
        assert self._server is not None
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ServerConnection(self._service), self._host or None, self._port
        )

    async def wait(self) -> None:
        """Until ``stop`` has ended."""
        await self._stopped.wait()

    async def stop(self, grace: float) -> None:
        """Take no more connections, and let calls in flight finish for ``grace`` seconds.

        KServe passes ``grace`` by its name, which is ``grpc.aio``'s.
        """
        if self._server is not None:
            self._server.close()
            await self._service.drain(grace)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1.0)
        self._stopped.set()

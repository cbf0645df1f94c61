"""What the transformer's models have in common, whatever their task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

from serving.errors import UnavailableError
from serving.model import ServedModel
from transformer.hop import MISSING, PredictorClient
from transformer.settings import TransformerSettings

T = TypeVar("T")
WantedCheck = Callable[[], bool]
"""Whether somebody still waits for a result."""


REACH_SECONDS = 25.0
"""How long the first requests wait for a predictor that is starting: less than the 60 seconds after
which a cluster's gateway gives up on them, without a reason."""


class AbandonedError(Exception):
    """Nobody waits for the result any more; ends the work on it, and reaches nobody."""


class RemoteModel(ServedModel):
    """A model whose network is the predictor's.

    It is ready once the predictor has been, and from then on: to ask it again and again would keep
    it from scaling to zero. A predictor that takes too long is not waited for any longer: requests
    are then answered with 503 until it is there.

    Args:
        name: of the model, also to the predictor.
        executor: where images are decoded and answers made; shared by all models.
    """

    def __init__(
        self,
        name: str,
        hop: PredictorClient,
        executor: Executor,
        settings: TransformerSettings,
    ) -> None:
        super().__init__(name)
        self._hop = hop
        self._executor = executor
        self._settings = settings
        self.ready = not settings.wake_predictor

    def start(self) -> None:
        """Nothing to do: there is nothing to load."""

    async def started(self) -> None:
        if self.ready:
            return
        reaching = asyncio.ensure_future(self._hop.reach())
        try:
            await asyncio.wait([reaching], timeout=REACH_SECONDS)
            # Reached or not: a request that is let through hears why it has no answer, and when to
            # come again; one that is kept waiting would hear from a gateway that it took too long.
            self._hop.missing = not reaching.done()
            self.ready = True
            await reaching
        finally:
            reaching.cancel()

    def require_ready(self) -> None:
        super().require_ready()
        if self._hop.missing:
            raise UnavailableError(MISSING)

    async def close(self) -> None:
        await self._hop.close()

    async def _off_loop(self, work: Callable[..., T], *arguments: object) -> T:
        """``work(*arguments)`` on a thread of the executor."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, work, *arguments)

    async def _off_loop_while_awaited(self, work: Callable[[WantedCheck], T]) -> T:
        """``work`` on a thread of the executor; it may ask whether anybody still waits for it."""
        return await while_awaited(work, self._off_loop)


async def while_awaited(
    work: Callable[[WantedCheck], T], run: Callable[[Callable[[], T]], Awaitable[T]]
) -> T:
    """``work`` as ``run`` runs it on a thread, with a check whether anybody still waits for it.

    A thread cannot be cancelled, so what it does in several steps asks before each of them.
    """
    abandoned = threading.Event()
    try:
        return await run(lambda: work(lambda: not abandoned.is_set()))
    finally:
        abandoned.set()

"""The rates of keys and of domains, as this replica gives them out; see ``edge.rate``."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from edge.ledger import Ledger
from edge.rate import Draw, Tokens

MAX_BUCKETS = 20_000


class Rates:
    """Draws from the buckets in the database, ahead of who asks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tokens: OrderedDict[str, Tokens] = OrderedDict()
        self._drawn: dict[str, asyncio.Task[None]] = {}

    async def seconds(self, bucket: str, rate_per_second: int) -> float:
        """0 and counted, or the time until a request would be let through, and not counted.

        Raises:
            LedgerDownError
        """
        tokens = self._tokens.get(bucket)
        if tokens is None or tokens.rate_per_second != rate_per_second:
            tokens = self._tokens[bucket] = Tokens(rate_per_second)
            if len(self._tokens) > MAX_BUCKETS:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(bucket)
        while not tokens.take():
            if wait := tokens.refused_seconds(time.monotonic()):
                return wait
            await asyncio.shield(self._draw(bucket, tokens))
        if tokens.are_low and not tokens.refused_seconds(time.monotonic()):
            self._draw(bucket, tokens)
        return 0.0

    def _draw(self, bucket: str, tokens: Tokens) -> asyncio.Task[None]:
        """Draw a lease; one at a time, for all who wait for it."""
        task = self._drawn.get(bucket)
        if task is None:
            task = asyncio.create_task(self._add(bucket, tokens))
            self._drawn[bucket] = task
            # Whoever waits for it is told; where nobody does, the next one asks again.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _add(self, bucket: str, tokens: Tokens) -> None:
        wanted = Draw(bucket, tokens.rate_per_second, tokens.lease)
        try:
            tokens.add(await self._ledger.draw(wanted), time.monotonic())
        finally:
            # Here, so that nobody waits for what is done: that would not let anything else run.
            del self._drawn[bucket]

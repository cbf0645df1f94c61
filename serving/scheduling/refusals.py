"""Refusals on their way out: a few in each turn of the event loop.

In one turn the loop serves everything that was ready when the turn began. Under overload that would
be hundreds of refusals, 25 µs each with what they cost the kernel, and whoever was admitted would
wait for a whole turn at every step of the way: to be read, to be sent to the predictor, to get its
answer. Refusals can wait instead.
"""

from __future__ import annotations

import asyncio
from collections import deque

PER_TURN = 32
"""Refusals in one turn. With fewer, they wait for longer; with more, those who were admitted do."""


class Refusals:
    """First come, first refused; at most one of a connection waits here at a time."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for this turn of the running event loop to end, or for one of the next."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._wake)
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _wake(self) -> None:
        for _ in range(min(PER_TURN, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._wake)

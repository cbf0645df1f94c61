"""Refusals on their way out: a few in each turn of the event loop.

In one turn the loop serves everything that was ready when the turn began. Under overload that would
be hundreds of refusals, 25 µs each with what they cost the kernel, and whoever was admitted would
wait for a whole turn at every step of the way: to be read, to be sent to the predictor, to get its
answer. Refusals can wait instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

A_TURN = 32
"""Refusals in one turn. With fewer, they wait for longer; with more, those who were admitted do."""


class Refusals:
    """First come, first refused; at most one of a connection waits here at a time."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, send: Callable[[], None]) -> None:
        """Have ``send`` called in this turn of the running event loop, or in one of the next."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(send)

    def _send(self) -> None:
        for _ in range(min(A_TURN, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._send)

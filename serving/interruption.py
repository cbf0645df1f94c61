"""Ending what a request's task waits for, because nobody waits for the answer or it takes too long.

Timers instead of tasks and ``asyncio.wait_for``: most requests are answered long before either
would ring, and a task costs as much as a tenth of what the edge does for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

WATCH_SECONDS = 1.0
"""A request that is answered sooner is not watched: its client is there, or it hardly matters."""


class DisconnectedError(Exception):
    """The client went away; there is nobody to answer."""


class Interruption:
    """Cancels the running task with a reason; at most one, the first that is given.

    Attributes:
        reason: what to raise instead of ``CancelledError``; None where somebody else cancelled.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.reason: Exception | None = None

    def interrupt(self, reason: Exception) -> None:
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    def taken(self) -> None:
        """The cancellation has been turned into the reason; the task goes on."""
        uncancel = getattr(self._task, "uncancel", None)  # Python 3.11
        if uncancel is not None:
            uncancel()


class DisconnectWatch:
    """Interrupts when the client goes away, from ``WATCH_SECONDS`` after its body was read.

    Use as a context manager around the work.
    """

    def __init__(self, receive: Receive, interruption: Interruption) -> None:
        self._receive = receive
        self._interruption = interruption
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._begin)

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._interruption.interrupt(DisconnectedError())

"""Busy polling: an event loop that looks for more for a moment, instead of going to sleep.

A processor with nothing to do is put to sleep, on a virtual machine by the hypervisor, and takes
its time to wake up; what it had in its caches may be gone by then. A request alone goes through
several such sleeps, and without them takes a fifth less. So where little is going on, the loop
turns on until nothing has happened for a moment. It yields the processor in every turn, so that
whoever else can use it does; under load it sleeps as any other, for there it is the others that
need the processor.
"""

from __future__ import annotations

import asyncio
import os
import time

from serving.quota import cpu_quota


class BusyPoll:
    """Keeps the running event loop awake for a moment after a request has come or gone.

    Args:
        seconds: the moment; 0 for none.
        most_requests: in progress. With more, there is no busy polling.
    """

    def __init__(self, seconds: float, most_requests: int) -> None:
        self._seconds = seconds
        self._most_requests = most_requests
        self._until = 0.0
        self._turning = False

    def saw(self, requests: int) -> None:
        """A request has come or gone; so many are in progress now."""
        if requests > self._most_requests:
            self._until = 0.0
        elif self._seconds:
            self._until = time.monotonic() + self._seconds
            if not self._turning:
                self._turning = True
                loop = asyncio.get_running_loop()
                # Not here: the request should not wait for whoever else has the processor.
                loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turning = time.monotonic() < self._until
        if self._turning:
            os.sched_yield()
            # A loop with something to call polls its sockets without waiting for them.
            loop.call_soon(self._turn, loop)


def affordable_seconds(wanted: float) -> float:
    """``wanted``; 0 where others would wait for it: one processor, or a quota below one."""
    return wanted if len(os.sched_getaffinity(0)) > 1 and cpu_quota() >= 1 else 0.0

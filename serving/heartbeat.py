"""Ends a process that hangs, where nobody else looks.

In one pod with a transformer, Knative allows the predictor no probe: it must exit by itself, so
that it is started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from threading import Event, Thread

EXIT_STATUS = 70
"""EX_SOFTWARE of sysexits.h: an internal fault."""

LOOKS_PER_LIMIT = 4

logger = logging.getLogger("serving")

StuckSeconds = Callable[[], float]
"""For how long something has been in the way of all work; 0 where nothing is."""


class Heartbeat:
    """A thread that exits the process once its event loop, or its work, stands still.

    Args:
        seconds: that either may stand still.
        stuck_seconds: of the work, asked in that thread.
        leave: ends the process without a word to anybody: what hangs would not hear it.
    """

    def __init__(
        self,
        seconds: float,
        stuck_seconds: StuckSeconds = lambda: 0.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._seconds = seconds
        self._stuck_seconds = stuck_seconds
        self._leave = leave
        self._beaten = time.monotonic()
        self._ended = Event()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at that loop from now on."""
        self._beaten = time.monotonic()
        Thread(target=self._watch, args=(loop,), name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        self._beaten = time.monotonic()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._ended.wait(self._seconds / LOOKS_PER_LIMIT):
            silent = time.monotonic() - self._beaten
            stuck = self._stuck_seconds()
            if max(silent, stuck) > self._seconds:
                what = "the event loop has" if silent > stuck else "all forward passes have"
                logger.critical(
                    "%s stood still for %.0f s; the process exits, to be started anew",
                    what,
                    max(silent, stuck),
                )
                self._leave(EXIT_STATUS)
                return
            try:
                loop.call_soon_threadsafe(self._beat)
            except RuntimeError:  # the loop has ended
                return

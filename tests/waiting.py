"""Waiting in tests for what another task, thread or process is about to bring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something that is about to be so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "it did not come to that"
        await asyncio.sleep(0.002)


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """The same outside of an event loop."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)

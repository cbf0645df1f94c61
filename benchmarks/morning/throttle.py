"""A process that gets a part of the processor's time, as one at its cgroup's limit does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def throttled(pids: Sequence[int], runs_seconds: float, stands_seconds: float) -> Iterator[None]:
    """Have processes run and stand by turns; afterwards they run."""
    ended = threading.Event()

    def signalled(number: int) -> None:
        for pid in pids:
            os.kill(pid, number)

    def take_turns() -> None:
        while not ended.is_set():
            signalled(signal.SIGSTOP)
            time.sleep(stands_seconds)
            signalled(signal.SIGCONT)
            ended.wait(runs_seconds)

    thread = threading.Thread(target=take_turns, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signalled(signal.SIGCONT)

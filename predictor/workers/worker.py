"""One thread that computes."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Lock, Thread, get_native_id

from predictor.workers.batch_queue import Batch

Task = Callable[[], None]


class Worker:
    """A thread that asks for work, does it, and sleeps where there is none.

    Attributes:
        spare: see ``WorkerPool``.
        took_full: its last batch was a full one.
        busy_until: when its batch is expected to end.
        batch, began: what it computes now, and since when; None while it does not.
        idle: it waits to be woken.
        tasks: for this very thread, before any batch.

    All of these are read and written with the pool's lock held.
    """

    def __init__(
        self,
        name: str,
        lock: Lock,
        take: Callable[[Worker], Batch | Task | None],
        spare: bool,
        processors: Sequence[int],
    ) -> None:
        self.spare = spare
        self.took_full = False
        self.busy_until = 0.0
        self.batch: Batch | None = None
        self.began = 0.0
        self.idle = False
        self.ended = False
        self.tasks: deque[Task] = deque()
        self._take = take
        self._processors = processors
        self._changed = Condition(lock)
        # A daemon: a server that fails before it closes the pool must end all the same.
        self.thread = Thread(target=self._loop, name=name, daemon=True)
        self.thread.start()

    def wake(self) -> None:
        # No longer idle from here on, not from when the thread runs: whoever adds the next chunk
        # must wake another worker instead of this one a second time.
        self.idle = False
        self._changed.notify()

    def _loop(self) -> None:
        if self._processors:
            with contextlib.suppress(OSError):  # nobody's answers depend on it
                os.sched_setaffinity(get_native_id(), self._processors)
        while (work := self._next()) is not None:
            if isinstance(work, Batch):
                started = time.monotonic()
                work.run()
                # The spare worker shares its processor with the event loop: its times would say
                # that rows are slower than they are.
                if not self.spare:
                    work.queue.record_duration(work.rows, time.monotonic() - started)
            else:
                work()
            del work  # nobody's tensors are kept while this thread waits

    def _next(self) -> Batch | Task | None:
        """Wait for work; None for the end."""
        with self._changed:
            self.batch = None
            while (work := self._take(self)) is None and not self.ended:
                self.idle = True
                self._changed.wait()
            if isinstance(work, Batch):
                self.batch, self.began = work, time.monotonic()
                self.busy_until = self.began + work.expected_seconds
            return work


def own_processors(threads: int) -> list[int]:
    """A processor for each thread, where there are as many; none where others share them.

    Some schedulers leave two threads that compute on one processor while the other one idles.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    found = sorted(os.sched_getaffinity(0), reverse=True)
    return found if len(found) == threads > 1 else []

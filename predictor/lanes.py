"""Threads for forward passes: of those that are free, always the first takes the next pass.

A pool's threads take turns instead, so that passes which follow each other change threads, and with
them processors and caches, for no reason.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any, TypeVar

Result = TypeVar("Result")


class Lanes(Executor):
    """As many threads as passes run at once; where all are busy, the one with least to do has more.

    Args:
        count: threads.
    """

    def __init__(self, count: int) -> None:
        self._lanes = [ThreadPoolExecutor(1, f"inference-{number}") for number in range(count)]
        self._tasks = [0] * count
        self._lock = Lock()

    def submit(
        self, call: Callable[..., Result], /, *arguments: Any, **named: Any
    ) -> Future[Result]:
        with self._lock:
            lane = min(range(len(self._lanes)), key=self._tasks.__getitem__)
            future = self._lanes[lane].submit(call, *arguments, **named)
            self._tasks[lane] += 1
        future.add_done_callback(partial(self._leave, lane))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for lane in self._lanes:
            lane.shutdown(wait, cancel_futures=cancel_futures)

    def _leave(self, lane: int, _: Future[Any]) -> None:
        with self._lock:
            self._tasks[lane] -= 1

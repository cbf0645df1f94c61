"""Micro-batching: what arrives while calls are under way goes out together in the next one.

Nothing waits for company where it could go. An item that finds a free call leaves in the same
turn of the event loop, together with whatever that turn has read, or as soon as the turn has read
plenty; only while the usual number of calls is under way do items gather, until there are enough of
them or the first has been held for long enough.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from serving.errors import DeadlineExceededError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BatchLimits:
    """Bounds of one batch, and how many may be under way; an item over a bound goes alone.

    Attributes:
        calls: batches under way above which items gather.
        max_calls: batches under way at once, full ones and those that were held included.
        requests: items in a batch.
        instances: instances in a batch.
        size_bytes: bytes in a batch.
        enough: instances that need not gather more; 0 for a full batch.
        plenty: instances that do not even wait for the end of the turn that has read them; 0 for
            none. A turn can take as long as a batch does.
        max_delay_seconds: longest time that an item gathers others while there are ``calls`` but
            not ``max_calls``.
    """

    calls: int
    max_calls: int
    requests: int
    instances: int
    size_bytes: int
    max_delay_seconds: float = 0.0
    enough: int = 0
    plenty: int = 0


@dataclass
class _Entry(Generic[Item, Result]):
    item: Item
    instances: int
    size_bytes: int
    arrived: float
    future: asyncio.Future[Result]
    under_way: _UnderWay[Item, Result] | None = None


@dataclass
class _UnderWay(Generic[Item, Result]):
    batch: list[_Entry[Item, Result]]
    task: asyncio.Task[Any]


class Batcher(Generic[Item, Result]):
    """First come, first served; whoever stops waiting is left out of the batch.

    A batch that nobody waits for any more is cancelled.

    Args:
        run: does a batch; gives one result an item, in order, or raises for all of them.
        limits: may be replaced while batches are under way.
        age_seconds: an item that has waited longer when its turn comes is refused.
        began: told of every batch that begins, by how many seconds each of its items has waited,
            and the instances of all.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        limits: BatchLimits,
        age_seconds: float,
        began: Callable[[list[float], int], None] | None = None,
    ) -> None:
        self.limits = limits
        self._began = began
        self._run = run
        self._age_seconds = age_seconds
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._instances = 0
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Items that no batch has taken yet."""
        return len(self._waiting)

    async def submit(self, item: Item, instances: int, size_bytes: int) -> Result:
        """Have an item done with others.

        Raises:
            DeadlineExceededError: it has waited too long.
            Exception: what ``run`` raised for its batch.
        """
        loop = asyncio.get_running_loop()
        entry: _Entry[Item, Result] = _Entry(
            item, instances, size_bytes, time.monotonic(), loop.create_future()
        )
        self._waiting.append(entry)
        self._instances += instances
        if self.limits.plenty and self._instances >= self.limits.plenty:
            self._send()
        elif not self._scheduled:
            # At the end of this turn, when all sockets that are ready have been read.
            self._scheduled = True
            loop.call_soon(self._end_of_turn)
        try:
            return await entry.future
        except asyncio.CancelledError:
            if entry.under_way is not None:
                self._cancel_unwanted(entry.under_way)
            raise

    @staticmethod
    def _cancel_unwanted(under_way: _UnderWay[Item, Result]) -> None:
        if all(entry.future.done() for entry in under_way.batch):
            under_way.task.cancel()

    def _end_of_turn(self) -> None:
        self._scheduled = False
        self._send()

    def _send(self) -> None:
        while self._waiting and self._may_send():
            batch = self._take()
            if batch:
                task = asyncio.get_running_loop().create_task(self._do(batch))
                self._under_way.add(task)
                under_way = _UnderWay(batch, task)
                for entry in batch:
                    entry.under_way = under_way
                if self._began is not None:
                    now = time.monotonic()
                    waits = [now - entry.arrived for entry in batch]
                    self._began(waits, sum(entry.instances for entry in batch))
        if not self._waiting or self._timer is not None:
            return
        if len(self._under_way) < self.limits.max_calls:
            self._timer = asyncio.get_running_loop().call_later(
                self.limits.max_delay_seconds, self._held
            )

    def _may_send(self) -> bool:
        limits, under_way = self.limits, len(self._under_way)
        if under_way < limits.calls:
            return True
        return under_way < limits.max_calls and (
            self._instances >= (limits.enough or limits.instances)
            or len(self._waiting) >= limits.requests
            or time.monotonic() - self._waiting[0].arrived >= limits.max_delay_seconds
        )

    def _held(self) -> None:
        self._timer = None
        self._send()

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        instances = size_bytes = 0
        oldest = time.monotonic() - self._age_seconds
        while self._waiting:
            entry = self._waiting[0]
            wanted = not entry.future.done()
            if wanted and entry.arrived < oldest:
                entry.future.set_exception(DeadlineExceededError("the request has waited too long"))
                wanted = False
            if wanted:
                instances += entry.instances
                size_bytes += entry.size_bytes
                if batch and (
                    len(batch) >= self.limits.requests
                    or instances > self.limits.instances
                    or size_bytes > self.limits.size_bytes
                ):
                    break
                batch.append(entry)
            self._waiting.popleft()
            self._instances -= entry.instances
        return batch

    async def _do(self, batch: list[_Entry[Item, Result]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            try:
                results = await self._run([entry.item for entry in batch])
            finally:
                # The next batch goes before whoever waited for this one is busy with its answers.
                self._under_way.remove(task)
                self._send()
        except BaseException as error:
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for entry, result in zip(batch, results, strict=True):
            if not entry.future.done():
                entry.future.set_result(result)

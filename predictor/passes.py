"""The threads that compute, and the calls that wait for them.

A thread that is done with a pass begins the next one by itself, with all that waits by then, and
leaves it to the event loop to hand the answers out. Were the loop to choose what comes next, the
thread would stand still after every pass until the loop has had two turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Lock, Thread, get_native_id
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.errors import DeadlineExceeded

Result = TypeVar("Result")
Network = Callable[[NDArray[Any]], NDArray[Any]]

PASS_BYTES = 64 << 20
"""Most bytes of different calls that are put together for one pass."""

WAIT_SECONDS = 30.0
"""Longest wait for a pass: whoever called has given up by then."""

HELP_SECONDS = 0.007
"""Expected wait of small calls from which on the spare thread helps with them, half a pass at a
time. Below it, event loops make better use of its processor."""

NEWEST = 0.2
"""Weight of the newest pass in what a row is expected to take."""


@dataclass(eq=False)
class Piece:
    """Rows of one call, no more than a pass takes."""

    rows: NDArray[Any]
    arrived: float
    future: asyncio.Future[NDArray[Any]]


@dataclass(frozen=True)
class Pass:
    """What a thread does next: pieces that are answered together.

    Attributes:
        seconds: what it is expected to take; 0 where nobody knows yet.
    """

    queue: PassQueue
    pieces: Sequence[Piece]
    rows: int
    seconds: float

    def run(self) -> None:
        """Compute, and have the event loop hand out the answers."""
        batches = [piece.rows for piece in self.pieces]
        found: NDArray[Any] | Exception
        try:
            found = self.queue.network(batches[0] if len(batches) == 1 else np.concatenate(batches))
        except Exception as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self.pieces[0].future.get_loop().call_soon_threadsafe(self._hand_out, found)

    def _hand_out(self, found: NDArray[Any] | Exception) -> None:
        start = 0
        for piece in self.pieces:
            end = start + len(piece.rows)
            if not piece.future.done():
                if isinstance(found, Exception):
                    piece.future.set_exception(found)
                else:
                    piece.future.set_result(found[start:end])
            start = end


class PassQueue:
    """The calls to one network, first come, first served.

    Args:
        passes: where they are computed.
        network: rows in, as many rows out.
        most_rows: in one pass. Calls with fewer share one; larger ones are cut into pieces.
    """

    def __init__(self, passes: Passes, network: Network, most_rows: int) -> None:
        self.network = network
        self.most_rows = most_rows
        self._passes = passes
        self._full: deque[Piece] = deque()
        self._partial: deque[Piece] = deque()
        self._partial_rows = 0
        self._seconds_a_row = 0.0
        passes.join(self)

    async def submit(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The network's answer to a batch of at least one row.

        Raises:
            DeadlineExceeded: it has waited too long.
            Exception: what the network raised.
        """
        loop, now = asyncio.get_running_loop(), time.monotonic()
        pieces = [
            Piece(batch[start : start + self.most_rows], now, loop.create_future())
            for start in range(0, len(batch), self.most_rows)
        ]
        self._passes.add(self, pieces)
        if len(pieces) == 1:
            return await pieces[0].future
        try:
            return np.concatenate(await asyncio.gather(*(piece.future for piece in pieces)))
        finally:
            for piece in pieces:
                piece.future.cancel()  # of those that wait, where one has failed

    def is_full(self, piece: Piece) -> bool:
        """Whether a piece is a pass by itself."""
        return len(piece.rows) == self.most_rows

    def push(self, piece: Piece) -> None:
        if self.is_full(piece):
            self._full.append(piece)
        else:
            self._partial.append(piece)
            self._partial_rows += len(piece.rows)

    def take_full(self) -> Pass | None:
        return self._take(self._full, self.most_rows)

    def take_partial(self, most_rows: int) -> Pass | None:
        """Small calls together; one that is larger than that goes alone."""
        return self._take(self._partial, most_rows)

    def partial_seconds(self) -> float:
        """What the small calls that wait are expected to take together."""
        return self._partial_rows * self._seconds_a_row

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a pass; the cost of a row in a small one says little."""
        if 2 * rows >= self.most_rows:
            known = self._seconds_a_row or seconds / rows
            self._seconds_a_row = known + NEWEST * (seconds / rows - known)

    def _take(self, waiting: deque[Piece], most_rows: int) -> Pass | None:
        """The next pass from ``waiting``; whoever has stopped waiting is left out."""
        pieces: list[Piece] = []
        rows = size_bytes = 0
        while waiting:
            piece = waiting[0]
            count, size = len(piece.rows), piece.rows.nbytes
            wanted = _is_wanted(piece)
            too_many = rows + count > most_rows or size_bytes + size > PASS_BYTES
            if wanted and pieces and too_many:
                break
            waiting.popleft()
            if waiting is self._partial:
                self._partial_rows -= count
            if wanted:
                pieces.append(piece)
                rows += count
                size_bytes += size
        return Pass(self, pieces, rows, rows * self._seconds_a_row) if pieces else None


class Passes:
    """Threads that are shared by several networks, which take turns.

    Of those that are free, always the first begins: passes that follow each other find their
    processor's caches as they left them. Where there are several, the last one is spare: the event
    loop needs a processor too, and while it waits for one, nothing gets in or out. It takes full
    passes, and of small calls only what would have to wait for long. The others take full passes
    and those made of small calls by turns.

    Args:
        threads: most passes at once.
    """

    def __init__(self, threads: int) -> None:
        self._lock = Lock()
        self._queues: deque[PassQueue] = deque()
        self._closed = False
        processors = _own_processors(threads)
        self._workers = [
            _Worker(
                f"inference-{n}",
                self._lock,
                self._take,
                0 < n == threads - 1,
                processors[n : n + 1],
            )
            for n in range(threads)
        ]

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads after what they are doing; what waits is not done."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.wake()
        for worker in self._workers:
            worker.thread.join()

    def first(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do something in the first thread, whose memory and caches then are warm; waits for it."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            self._workers[0].errands.append(run)
            self._workers[0].wake()
        return future.result()

    def join(self, queue: PassQueue) -> None:
        """Serve a queue from now on."""
        with self._lock:
            self._queues.append(queue)

    def add(self, queue: PassQueue, pieces: Sequence[Piece]) -> None:
        """Have pieces of that queue done by threads that are free, or by the next that are."""
        with self._lock:
            for piece in pieces:
                queue.push(piece)
                for worker in self._workers:
                    if worker.idle and (
                        not worker.spare or queue.is_full(piece) or self._is_late(queue)
                    ):
                        worker.wake()
                        break

    def _is_late(self, queue: PassQueue) -> bool:
        """Whether the small calls of a queue would have to wait for long."""
        ends = min(worker.until for worker in self._workers if not worker.spare)
        wait = max(0.0, ends - time.monotonic()) + queue.partial_seconds()
        return wait > HELP_SECONDS

    def _take(self, worker: _Worker) -> Pass | Callable[[], None] | None:
        """What that thread does next; None for its end, or where there is nothing to do."""
        if worker.errands:
            return worker.errands.popleft()
        if self._closed:
            worker.ended = True
            return None
        for full in (not worker.was_full, worker.was_full):
            for queue in self._queues:
                if full:
                    found = queue.take_full()
                elif not worker.spare:
                    found = queue.take_partial(queue.most_rows)
                elif self._is_late(queue):
                    found = queue.take_partial(queue.most_rows // 2)
                else:
                    continue
                if found is not None:
                    worker.was_full = full
                    self._queues.remove(queue)
                    self._queues.append(queue)
                    return found
        return None


class _Worker:
    """One thread.

    Attributes:
        spare: see ``Passes``.
        was_full: its last pass was a full one.
        until: when its pass is expected to end.
        idle: it waits to be woken. All of these are read and written with the lock held.
    """

    def __init__(
        self,
        name: str,
        lock: Lock,
        take: Callable[[_Worker], Pass | Callable[[], None] | None],
        spare: bool,
        processors: Sequence[int],
    ) -> None:
        self.spare = spare
        self.was_full = False
        self.until = 0.0
        self.idle = False
        self.ended = False
        self.errands: deque[Callable[[], None]] = deque()
        self._take = take
        self._processors = processors
        self._changed = Condition(lock)
        # A daemon: a server that fails before it closes the threads must end all the same.
        self.thread = Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def wake(self) -> None:
        self.idle = False
        self._changed.notify()

    def _work(self) -> None:
        if self._processors:
            with contextlib.suppress(OSError):  # nobody's answers depend on it
                os.sched_setaffinity(get_native_id(), self._processors)
        while (work := self._next()) is not None:
            if isinstance(work, Pass):
                started = time.monotonic()
                work.run()
                if not self.spare:
                    work.queue.took(work.rows, time.monotonic() - started)
            else:
                work()
            del work  # whoever waits should not hold the tensors of the last pass

    def _next(self) -> Pass | Callable[[], None] | None:
        with self._changed:
            while (work := self._take(self)) is None and not self.ended:
                self.idle = True
                self._changed.wait()
            if isinstance(work, Pass):
                self.until = time.monotonic() + work.seconds
            return work


def _own_processors(threads: int) -> list[int]:
    """A processor for each thread, where there are as many; none where others share them.

    Some schedulers leave two threads that compute on one processor while the other one idles.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    found = sorted(os.sched_getaffinity(0), reverse=True)
    return found if len(found) == threads > 1 else []


def _is_wanted(piece: Piece) -> bool:
    if piece.future.done():
        return False
    if piece.arrived >= time.monotonic() - WAIT_SECONDS:
        return True
    with contextlib.suppress(RuntimeError):
        piece.future.get_loop().call_soon_threadsafe(_refuse, piece.future)
    return False


def _refuse(future: asyncio.Future[NDArray[Any]]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded("the request has waited too long"))

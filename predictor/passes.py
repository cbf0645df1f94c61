"""The threads that compute, and the calls that wait for them.

A thread that is done with a pass begins the next one by itself, with all that waits by then, and
leaves it to the event loop to hand the answers out. Were the loop to choose what comes next, the
thread would stand still after every pass until the loop has had two turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Lock, Thread
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


@dataclass(eq=False)
class Piece:
    """Rows of one call, no more than a pass takes."""

    rows: NDArray[Any]
    arrived: float
    future: asyncio.Future[NDArray[Any]]


@dataclass(frozen=True)
class Pass:
    """What a thread does next: pieces that are answered together."""

    network: Network
    pieces: Sequence[Piece]

    def run(self) -> None:
        """Compute, and have the event loop hand out the answers."""
        batches = [piece.rows for piece in self.pieces]
        found: NDArray[Any] | Exception
        try:
            found = self.network(batches[0] if len(batches) == 1 else np.concatenate(batches))
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
        self._passes = passes
        self._network = network
        self._most_rows = most_rows
        self._full: deque[Piece] = deque()
        self._partial: deque[Piece] = deque()
        passes.join(self)

    async def submit(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The network's answer to a batch of at least one row.

        Raises:
            DeadlineExceeded: it has waited too long.
            Exception: what the network raised.
        """
        loop, now = asyncio.get_running_loop(), time.monotonic()
        pieces = [
            Piece(batch[start : start + self._most_rows], now, loop.create_future())
            for start in range(0, len(batch), self._most_rows)
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
        return len(piece.rows) == self._most_rows

    def push(self, piece: Piece) -> None:
        (self._full if self.is_full(piece) else self._partial).append(piece)

    def take(self, full: bool) -> Pass | None:
        """The next pass of that kind; whoever has stopped waiting is left out."""
        waiting = self._full if full else self._partial
        pieces: list[Piece] = []
        rows = size_bytes = 0
        while waiting:
            piece = waiting[0]
            if _is_wanted(piece):
                rows += len(piece.rows)
                size_bytes += piece.rows.nbytes
                if pieces and (rows > self._most_rows or size_bytes > PASS_BYTES):
                    break
                pieces.append(piece)
            waiting.popleft()
        return Pass(self._network, pieces) if pieces else None


class Passes:
    """Threads that are shared by several networks, which take turns.

    Of those that are free, always the first begins: passes that follow each other find their
    processor's caches as they left them. The last one, where there are several, takes full passes
    only: the event loop needs a processor too, and while it waits for one, nothing gets in or out.
    The others take full passes and those made of small calls by turns.

    Args:
        threads: most passes at once.
    """

    def __init__(self, threads: int) -> None:
        self._lock = Lock()
        self._queues: deque[PassQueue] = deque()
        self._closed = False
        self._workers = [
            _Worker(f"inference-{n}", self._lock, self._take, spare=0 < n == threads - 1)
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
                full = queue.is_full(piece)
                for worker in self._workers:
                    if worker.idle and (full or not worker.spare):
                        worker.wake()
                        break

    def _take(self, worker: _Worker) -> Callable[[], None] | None:
        """What that thread does next; None for its end, or where there is nothing to do."""
        if worker.errands:
            return worker.errands.popleft()
        if self._closed:
            worker.ended = True
            return None
        for full in (True,) if worker.spare else (not worker.was_full, worker.was_full):
            for queue in self._queues:
                found = queue.take(full)
                if found is not None:
                    worker.was_full = full
                    self._queues.remove(queue)
                    self._queues.append(queue)
                    return found.run
        return None


class _Worker:
    """One thread.

    Attributes:
        spare: it takes full passes only.
        was_full: its last pass was one.
        idle: it waits to be woken. All of these are read and written with the lock held.
    """

    def __init__(
        self,
        name: str,
        lock: Lock,
        take: Callable[[_Worker], Callable[[], None] | None],
        spare: bool,
    ) -> None:
        self.spare = spare
        self.was_full = False
        self.idle = False
        self.ended = False
        self.errands: deque[Callable[[], None]] = deque()
        self._take = take
        self._changed = Condition(lock)
        # A daemon: a server that fails before it closes the threads must end all the same.
        self.thread = Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def wake(self) -> None:
        self.idle = False
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (work := self._take(self)) is None:
                    if self.ended:
                        return
                    self.idle = True
                    self._changed.wait()
            work()
            del work  # what waits should not hold the tensors of the last pass


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

"""The requests to one model, first come, first served, and how they become batches."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predictor.engines import Arrays
from serving.errors import DeadlineExceededError
from serving.spans import Span
from serving.tracing import CURRENT

if TYPE_CHECKING:
    from predictor.workers.pool import WorkerPool

Run = Callable[[NDArray[Any]], Arrays]
"""A batch in, each output's rows out; called in a worker's thread."""

Convert = Callable[[NDArray[Any]], NDArray[Any]]
"""Rows as they came to rows as they are computed; called in a worker's thread."""

Stop = Callable[[int], bool]
"""Have the run in the thread of that identity end; False where that is not possible."""

MAX_BATCH_BYTES = 64 << 20
"""Of chunks of different requests that are put together."""

MAX_WAIT_SECONDS = 30.0
"""A chunk that has waited longer is refused: whoever sent it has given up by then."""

PASS_SECONDS = 0.02
"""What a batch of several rows may take. Small networks are faster in company, by what begins and
ends a pass; those of which a row takes milliseconds are not, and whoever shared a pass of them
would wait for all of its rows, while other workers have nothing to do. See benchmarks/NOTES.md."""

NEWEST_WEIGHT = 0.2
"""Of a full batch in the moving average of seconds per row; a smaller one says less."""


@dataclass(eq=False)
class Chunk:
    """Rows of one request, at most as many as a batch holds.

    Attributes:
        span: of the request, where it is recorded.
    """

    rows: NDArray[Any]
    arrived: float
    future: asyncio.Future[Arrays]
    span: Span | None = None


@dataclass(eq=False)
class Batch:
    """Chunks that are computed together.

    Attributes:
        rows: of all chunks.
        expected_seconds: 0 where nobody knows yet.
        overdue: it has taken too long: its requests are refused, whatever comes of it.
        began, seconds: when the engine began (monotonic), and how long it took.
    """

    queue: BatchQueue
    chunks: Sequence[Chunk]
    rows: int
    expected_seconds: float
    overdue: bool = False
    began: float = 0.0
    seconds: float = 0.0

    def run(self) -> None:
        """Compute in this thread, and have the event loop hand out the answers."""
        found: Arrays | Exception
        self.began = time.monotonic()
        try:
            parts = [self.queue.convert(chunk.rows) for chunk in self.chunks]
            found = self.queue.run(parts[0] if len(parts) == 1 else np.concatenate(parts))
        except Exception as error:
            found = error
        self.seconds = time.monotonic() - self.began
        if not self.overdue:
            self._deliver(found)

    def refuse(self, error: Exception) -> None:
        """Answer everybody with an error while this is still being computed."""
        self.overdue = True
        self.seconds = time.monotonic() - self.began
        self._deliver(error)

    def _deliver(self, found: Arrays | Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self.chunks[0].future.get_loop().call_soon_threadsafe(self._hand_out, found)

    def _hand_out(self, found: Arrays | Exception) -> None:
        if self.queue.done is not None:
            self.queue.done(self)
        start = 0
        for chunk in self.chunks:
            end = start + len(chunk.rows)
            if not chunk.future.done():
                if isinstance(found, Exception):
                    chunk.future.set_exception(found)
                else:
                    chunk.future.set_result(tuple(rows[start:end] for rows in found))
            start = end


class BatchQueue:
    """What waits for one model. All but ``submit`` is called with the pool's lock held.

    Full chunks, each a batch by itself, and partial ones, which share a batch, wait apart: so a
    large request never delays small ones by more than one batch.

    Args:
        pool: whose threads compute.
        max_instances: of one batch at most. Requests with fewer share one; larger ones are cut.
        stop: see ``Stop``; None where a run cannot be stopped.
        done: told of every batch when its answers are handed out, on the event loop.
        convert: what is done to each chunk's rows before they become a batch; by default nothing.
        seconds_per_row: as far as they are known already.
    """

    def __init__(
        self,
        pool: WorkerPool,
        run: Run,
        max_instances: int,
        stop: Stop | None = None,
        done: Callable[[Batch], None] | None = None,
        convert: Convert = lambda rows: rows,
        seconds_per_row: float = 0.0,
    ) -> None:
        self.run = run
        self.convert = convert
        self.stop = stop
        self.done = done
        self._pool = pool
        self._max_instances = max_instances
        self._full: deque[Chunk] = deque()
        self._partial: deque[Chunk] = deque()
        self._partial_rows = 0
        self._seconds_per_row = seconds_per_row
        pool.register(self)

    @property
    def max_instances(self) -> int:
        """Of one batch now: as many as are computed in ``PASS_SECONDS``; without the lock, too."""
        if not self._seconds_per_row:
            return self._max_instances
        return min(self._max_instances, max(1, int(PASS_SECONDS / self._seconds_per_row)))

    @property
    def waiting(self) -> int:
        """Chunks that no batch has taken yet; may be asked without the lock."""
        return len(self._full) + len(self._partial)

    async def submit(self, batch: NDArray[Any]) -> Arrays:
        """The model's outputs for a request of at least one row.

        Raises:
            DeadlineExceededError: it has waited, or been computed, too long.
            Exception: what the engine raised.
        """
        loop, now, span = asyncio.get_running_loop(), time.monotonic(), CURRENT.get()
        most = self.max_instances
        chunks = [
            Chunk(batch[start : start + most], now, loop.create_future(), span)
            for start in range(0, len(batch), most)
        ]
        self._pool.add(self, chunks)
        if len(chunks) == 1:
            return await chunks[0].future
        try:
            parts = await asyncio.gather(*(chunk.future for chunk in chunks))
            return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
        finally:
            # Where one chunk has failed, or the client has left, the others need not be computed.
            for chunk in chunks:
                chunk.future.cancel()

    def is_full(self, chunk: Chunk) -> bool:
        """Whether a chunk is a batch by itself."""
        return len(chunk.rows) >= self.max_instances

    def push(self, chunk: Chunk) -> None:
        if self.is_full(chunk):
            self._full.append(chunk)
        else:
            self._partial.append(chunk)
            self._partial_rows += len(chunk.rows)

    def take_full(self) -> Batch | None:
        return self._take(self._full, self.max_instances)

    def take_partial(self, max_rows: int) -> Batch | None:
        """Partial chunks together; one that is larger than ``max_rows`` goes alone."""
        return self._take(self._partial, max_rows)

    def partial_seconds(self) -> float:
        """What the partial chunks that wait are expected to take together."""
        return self._partial_rows * self._seconds_per_row

    def record_duration(self, rows: int, seconds: float) -> None:
        """Learn from a batch; in a small one, a row may cost more than it does in company."""
        known = self._seconds_per_row or seconds / rows
        weight = NEWEST_WEIGHT * min(1.0, rows / self.max_instances)
        self._seconds_per_row = known + weight * (seconds / rows - known)

    def _take(self, waiting: deque[Chunk], max_rows: int) -> Batch | None:
        """The next batch from ``waiting``, without chunks that nobody waits for any more."""
        chunks: list[Chunk] = []
        rows = size_bytes = 0
        while waiting:
            chunk = waiting[0]
            # As it is computed: what came as bytes is in float32 then.
            count, size = len(chunk.rows), max(4, chunk.rows.itemsize) * chunk.rows.size
            wanted = _is_wanted(chunk)
            too_many = rows + count > max_rows or size_bytes + size > MAX_BATCH_BYTES
            # The first chunk is taken whatever its size: what exceeds a limit goes alone.
            if wanted and chunks and too_many:
                break
            waiting.popleft()
            if waiting is self._partial:
                self._partial_rows -= count
            if wanted:
                chunks.append(chunk)
                rows += count
                size_bytes += size
        return Batch(self, chunks, rows, rows * self._seconds_per_row) if chunks else None


def _is_wanted(chunk: Chunk) -> bool:
    """Whether somebody waits for a chunk; who has waited too long is refused here."""
    if chunk.future.done():
        return False
    if chunk.arrived >= time.monotonic() - MAX_WAIT_SECONDS:
        return True
    with contextlib.suppress(RuntimeError):
        chunk.future.get_loop().call_soon_threadsafe(_refuse, chunk.future)
    return False


def _refuse(future: asyncio.Future[Arrays]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceededError("the request has waited too long"))

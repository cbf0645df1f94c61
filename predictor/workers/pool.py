"""The threads that all models of a predictor share."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from predictor.workers.batch_queue import Batch, BatchQueue, Chunk
from predictor.workers.worker import Task, Worker, own_processors
from serving.errors import DeadlineExceededError

Result = TypeVar("Result")

logger = logging.getLogger("predictor")

SPARE_HELP_SECONDS = 0.007
"""Expected wait of partial chunks from which on the spare worker helps with them, half a batch at a
time. Below it, event loops make better use of its processor. Fitted on two cores of an AMD EPYC
with both servers on them; see benchmarks/NOTES.md."""


MAX_BATCH_SECONDS = 30.0

LOOKS_PER_LIMIT = 4
"""A pass is noticed a quarter of the limit late at most; an idle predictor wakes as seldom."""


class WorkerPool:
    """Threads that are shared by several models, which take turns.

    Of those that are idle, always the first begins: batches that follow each other find their
    processor's caches as they left them. Where there are several, the last one is spare: the event
    loop needs a processor too, and while it waits for one, nothing gets in or out. It takes full
    batches, and of partial chunks only what would have to wait for long. The others take full
    batches and those made of partial chunks by turns.

    Args:
        workers: batches at once.
        max_batch_seconds: time that one forward pass may take; then it is stopped, where its
            engine can, and its requests are refused in any case.
    """

    def __init__(self, workers: int, max_batch_seconds: float = MAX_BATCH_SECONDS) -> None:
        self._lock = Lock()
        self._queues: deque[BatchQueue] = deque()
        self._closed = False
        processors = own_processors(workers)
        self._workers = [
            Worker(
                f"inference-{n}",
                self._lock,
                self._take,
                0 < n == workers - 1,
                processors[n : n + 1],
            )
            for n in range(workers)
        ]
        self._max_batch_seconds = max_batch_seconds
        self._ended = Event()
        self._watch = Thread(target=self._watch_batches, name="inference-watch", daemon=True)
        self._watch.start()

    def __enter__(self) -> WorkerPool:
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
        self._ended.set()
        self._watch.join()

    def run_on_first_worker(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do something in the first thread, whose memory and caches then are warm; waits for it."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            self._workers[0].tasks.append(run)
            self._workers[0].wake()
        return future.result()

    def register(self, queue: BatchQueue) -> None:
        """Serve a queue from now on."""
        with self._lock:
            self._queues.append(queue)

    def unregister(self, queue: BatchQueue) -> None:
        """Serve it no longer; nothing may wait in it."""
        with self._lock:
            self._queues.remove(queue)

    def add(self, queue: BatchQueue, chunks: Sequence[Chunk]) -> None:
        """Have chunks of that queue computed by workers that are idle, or by the next that are."""
        with self._lock:
            for chunk in chunks:
                queue.push(chunk)
                for worker in self._workers:
                    # One worker per chunk, and a partial one wakes the spare worker only where it
                    # would wait for long: a worker that is about to end takes it along otherwise.
                    if worker.idle and (
                        not worker.spare or queue.is_full(chunk) or self._is_late(queue)
                    ):
                        worker.wake()
                        break

    def stuck_seconds(self) -> float:
        """For how long every worker has been in a pass that is overdue; 0 where one is not."""
        now = time.monotonic()
        with self._lock:
            return min(
                now - worker.began if worker.batch is not None and worker.batch.overdue else 0.0
                for worker in self._workers
            )

    def _is_late(self, queue: BatchQueue) -> bool:
        """Whether the partial chunks of a queue would have to wait for long."""
        ends = min(worker.busy_until for worker in self._workers if not worker.spare)
        wait = max(0.0, ends - time.monotonic()) + queue.partial_seconds()
        return wait > SPARE_HELP_SECONDS

    def _watch_batches(self) -> None:
        """Look now and then for batches that take too long, until the end."""
        while not self._ended.wait(self._max_batch_seconds / LOOKS_PER_LIMIT):
            limit = time.monotonic() - self._max_batch_seconds
            with self._lock:
                # Under the lock no worker goes on to another batch: what is stopped is what is
                # overdue. A batch is told again until its thread has noticed.
                for worker in self._workers:
                    if worker.batch is not None and worker.began < limit:
                        self._stop(worker, worker.batch)

    def _stop(self, worker: Worker, batch: Batch) -> None:
        first = not batch.overdue
        if first:
            # Before it is stopped: what it answers or how it fails is nobody's any more.
            batch.refuse(
                DeadlineExceededError(
                    f"the forward pass took more than {self._max_batch_seconds:g} s"
                )
            )
        stop, thread = batch.queue.stop, worker.thread.ident
        stopped = stop is not None and thread is not None and stop(thread)
        if first:
            logger.error(
                "a forward pass of %d rows took more than %g s and %s",
                batch.rows,
                self._max_batch_seconds,
                "is stopped" if stopped else "cannot be stopped by its engine",
            )

    def _take(self, worker: Worker) -> Batch | Task | None:
        """What that worker does next; None for its end, or where there is nothing to do."""
        if worker.tasks:
            return worker.tasks.popleft()
        if self._closed:
            worker.ended = True
            return None
        # After a full batch one of partial chunks, and the other way round: neither kind starves.
        for full in (not worker.took_full, worker.took_full):
            for queue in self._queues:
                if full:
                    found = queue.take_full()
                elif not worker.spare:
                    found = queue.take_partial(queue.max_instances)
                elif self._is_late(queue):
                    # Half a batch: the event loop gets the processor back the sooner.
                    found = queue.take_partial(queue.max_instances // 2)
                else:
                    continue
                if found is not None:
                    worker.took_full = full
                    # The model that was served goes to the end, so that all take turns.
                    self._queues.remove(queue)
                    self._queues.append(queue)
                    return found
        return None

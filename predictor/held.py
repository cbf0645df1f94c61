"""A loaded revision and the queue of its requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from artifact import ModelCard
from predictor.engines import Arrays
from predictor.loading import LoadedRevision
from predictor.metrics import TALLY
from predictor.workers import Batch, BatchQueue, WorkerPool
from serving.metrics import BATCHES
from serving.pixels import as_tensor
from serving.spans import Span, trace_id_of
from serving.tracing import TRACING


class Source(Protocol):
    """What answers for one model.

    Attributes:
        on_demand: its revision is not always in memory.
    """

    on_demand: bool

    @property
    def card(self) -> ModelCard:
        """Of the revision that answers."""

    @property
    def digest(self) -> str:
        """Of the revision's artefact."""

    @property
    def loaded(self) -> LoadedRevision | None:
        """The revision, where it is in memory."""

    @property
    def batch_instances(self) -> int:
        """Most instances that are computed together now; 0 where nobody knows."""

    async def run(self, batch: NDArray[Any]) -> Arrays:
        """The outputs for a batch that fits the contract.

        Raises:
            ServingError: there is no answer now.
        """

    def watch(self, changed: Callable[[bool], None]) -> None:
        """Tell from now on, and at once, whether the revision is in memory."""


class Held:
    """A revision that is in memory.

    Args:
        loaded: the revision.
        pool: where it computes; shared by all models.
        name: of the model that it is counted as; its card's where none is said.
    """

    on_demand = False

    def __init__(self, loaded: LoadedRevision, pool: WorkerPool, name: str = "") -> None:
        self.loaded: LoadedRevision = loaded
        self._pool = pool
        self._name = name or loaded.card.name
        self._queue = BatchQueue(
            pool,
            loaded.session.run,
            loaded.max_instances_per_pass,
            loaded.session.stop,
            self._count,
            partial(as_tensor, spec=loaded.card.contract.input),
            loaded.instance_seconds,
        )
        self._batches = BATCHES.of(self._name, lambda: self._queue.waiting)
        self._pass_seconds = TALLY.pass_seconds.labels(self._name, loaded.card.revision)
        TALLY.load_seconds.labels(self._name, loaded.card.revision).observe(loaded.load_seconds)

    @property
    def card(self) -> ModelCard:
        return self.loaded.card

    @property
    def digest(self) -> str:
        return self.loaded.digest

    @property
    def batch_instances(self) -> int:
        return self._queue.max_instances

    async def run(self, batch: NDArray[Any]) -> Arrays:
        return await self._queue.submit(batch)

    def watch(self, changed: Callable[[bool], None]) -> None:
        changed(True)

    def _count(self, batch: Batch) -> None:
        waits = [batch.began - chunk.arrived for chunk in batch.chunks]
        self._batches.observe(waits, batch.rows)
        spans = [chunk.span for chunk in batch.chunks if chunk.span is not None]
        self._pass_seconds.observe(batch.seconds, trace_id_of(spans[0]) if spans else "")
        if spans:
            self._trace(batch, spans)

    def _trace(self, batch: Batch, spans: list[Span]) -> None:
        """What a batch was, in the trace of each of its requests; linked to those of the others."""
        size = {"vision.requests": len(batch.chunks), "vision.instances": batch.rows}
        ago = time.monotonic() - batch.began
        for chunk in batch.chunks:
            if (span := chunk.span) is not None:
                TRACING.record("queue", span, batch.began - chunk.arrived, ago_seconds=ago)
                others = [other for other in spans if other is not span]
                after = ago - batch.seconds
                TRACING.record("forward pass", span, batch.seconds, size, others, after)

    def leave(self) -> None:
        """Let go of the pool; nothing may wait in the queue.

        And of whatever else leads here: the weights are to be gone with the last name for them, not
        when the garbage collector next looks for cycles, which it seldom does in a server.
        """
        self._pool.unregister(self._queue)
        self._queue.done = None
        BATCHES.forget(self._name)

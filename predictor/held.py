"""A loaded revision and the queue of its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from artifact import ModelCard
from predictor.engines import Arrays
from predictor.loading import LoadedRevision
from predictor.workers import BatchQueue, WorkerPool


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
    """

    on_demand = False

    def __init__(self, loaded: LoadedRevision, pool: WorkerPool) -> None:
        self.loaded = loaded
        self._pool = pool
        self._queue = BatchQueue(
            pool, loaded.session.run, loaded.max_instances_per_pass, loaded.session.stop
        )

    @property
    def card(self) -> ModelCard:
        return self.loaded.card

    @property
    def digest(self) -> str:
        return self.loaded.digest

    async def run(self, batch: NDArray[Any]) -> Arrays:
        return await self._queue.submit(batch)

    def watch(self, changed: Callable[[bool], None]) -> None:
        changed(True)

    def leave(self) -> None:
        """Let go of the pool; nothing may wait in the queue."""
        self._pool.unregister(self._queue)

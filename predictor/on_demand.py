"""Revisions that are loaded by their first request, and leave when others need their memory.

One whose weights do not fit beside those that are loaded takes the place of the least recently used
that nobody waits for. What has just been loaded stays for a while, so that models which do not fit
together cannot push each other out request by request: who comes in between is told to come again.

All but the loading itself happens on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from artifact import ArtifactError, ModelCard, Revision
from predictor.engines import Arrays
from predictor.held import Held
from predictor.loading import LoadedRevision
from predictor.workers import WorkerPool
from serving.errors import OverloadedError, UnavailableError

KEPT_SECONDS = 10.0
"""That a revision stays after it was loaded, whoever needs its memory."""

WAIT_SECONDS = 2.0
"""That a request waits for its revision; small ones are loaded in a tenth of that."""

FAILED_SECONDS = 10.0
"""That a revision which cannot be loaded is not tried again."""

logger = logging.getLogger("predictor")


class OnDemand:
    """One model's revision, in memory or not.

    Attributes:
        held: the revision, where it is in memory.
        users: requests that are being answered.
        used, loaded_at: when a request last came, and when it was loaded.
        size_bytes: of its weights.
        name: of the model that it is counted as; its card's where none is said.
    """

    on_demand = True

    def __init__(self, revision: Revision, residents: Residents, name: str = "") -> None:
        self.revision = revision
        self.held: Held | None = None
        self.loading: asyncio.Task[Held | None] | None = None
        self.users = 0
        self.used = self.loaded_at = self.failed_at = -FAILED_SECONDS
        self.size_bytes = weights_bytes(revision.card)
        self.name = name or revision.card.name
        self._residents = residents
        self._changed: Callable[[bool], None] = lambda _: None

    @property
    def card(self) -> ModelCard:
        return self.revision.card

    @property
    def digest(self) -> str:
        return self.revision.digest

    @property
    def loaded(self) -> LoadedRevision | None:
        return None if self.held is None else self.held.loaded

    @property
    def batch_instances(self) -> int:
        return 0 if self.held is None else self.held.batch_instances

    async def run(self, batch: NDArray[Any]) -> Arrays:
        """As ``Source.run``.

        Raises:
            OverloadedError: it is being loaded, or there is no room for it yet.
            UnavailableError: it cannot be loaded.
        """
        self.users += 1
        self.used = time.monotonic()
        try:
            held = self.held or await self._residents.bring(self)
            return await held.run(batch)
        finally:
            self.users -= 1

    def watch(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        changed(self.held is not None)

    def put(self, held: Held | None) -> None:
        """In memory, or out of it."""
        self.held = held
        self._changed(held is not None)


class Residents:
    """The memory that all revisions share which are loaded on demand.

    Args:
        pool: where they compute.
        load: verifies and loads; called in a thread of its own, one revision after the other.
        max_bytes: of the weights of all that are loaded at once.
    """

    def __init__(
        self, pool: WorkerPool, load: Callable[[Revision], LoadedRevision], max_bytes: int
    ) -> None:
        self._pool = pool
        self._load = load
        self._max_bytes = max_bytes
        self._inside: list[OnDemand] = []
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    async def bring(self, place: OnDemand) -> Held:
        """The revision, once it is loaded.

        Raises:
            OverloadedError, UnavailableError: as for ``OnDemand.run``.
        """
        name = place.card.identity
        if time.monotonic() - place.failed_at < FAILED_SECONDS:
            raise UnavailableError(f"{name} cannot be loaded; the predictor's log says why")
        loading = place.loading
        if loading is None:
            self._make_room(place)
            self._inside.append(place)
            loading = place.loading = asyncio.get_running_loop().create_task(self._bring(place))
        await asyncio.wait([loading], timeout=WAIT_SECONDS)
        if not loading.done():
            raise OverloadedError(f"{name} is being loaded; try again", code="loading")
        held = loading.result()
        if held is None:
            raise UnavailableError(f"{name} cannot be loaded; the predictor's log says why")
        return held

    async def _bring(self, place: OnDemand) -> Held | None:
        """The revision, which whoever waits for it gets; None where it cannot be loaded."""
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._loader, self._load, place.revision)
        except Exception as error:  # of one revision, which must not be the others'
            if isinstance(error, ArtifactError):
                logger.error("%s", error)
            else:
                logger.exception("%s cannot be loaded", place.card.identity)
            place.failed_at = time.monotonic()
            self._inside.remove(place)
            return None
        finally:
            place.loading = None
        place.loaded_at = time.monotonic()
        place.size_bytes = max(place.size_bytes, loaded.session.memory_bytes)
        held = Held(loaded, self._pool, place.name)
        place.put(held)
        return held

    def _make_room(self, place: OnDemand) -> None:
        """Have the least recently used leave, as many as it takes."""
        if place.size_bytes > self._max_bytes:
            raise UnavailableError(
                f"{place.card.identity} has {place.size_bytes} bytes of weights; "
                f"all together may have {self._max_bytes}"
            )
        missing = sum(item.size_bytes for item in self._inside) + place.size_bytes - self._max_bytes
        leaving = []
        before = time.monotonic() - KEPT_SECONDS
        for item in sorted(self._inside, key=lambda item: item.used):
            if missing <= 0:
                break
            if item.held is not None and not item.users and item.loaded_at < before:
                leaving.append(item)
                missing -= item.size_bytes
        if missing > 0:
            raise OverloadedError(
                f"there is no room for {place.card.identity} beside the models in use; try again",
                code="loading",
            )
        for item in leaving:
            assert item.held is not None
            item.held.leave()
            item.put(None)
            self._inside.remove(item)
            logger.info("%s left memory for %s", item.card.identity, place.card.identity)


def weights_bytes(card: ModelCard) -> int:
    """Of the largest of the files that an engine may read."""
    sizes = [export.total_bytes for export in card.exports]
    if card.weights is not None:
        sizes.append(card.weights.size_bytes)
    return max(sizes)

"""The one writer of events: many requests' records go into one transaction.

A thread of its own takes whatever has been asked since its last transaction, so that a commit's
cost is shared by all who wait for it (group commit). On SQLite a transaction of intents alone is
committed without waiting for the disk: it outlives every process, and a power failure can only lose
intents of requests whose answers never left, because the commit of an answer waits for the disk and
takes everything before it along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from accounts.clock import now_ms
from accounts.mirror import Mirror
from edge.bookkeeping import admit, changed_rows, complete, find_keys, lease
from edge.metrics import TALLY
from edge.rate import Draw, Lease
from edge.records import (
    Abandonment,
    Admission,
    Completed,
    Intent,
    KeyRecord,
    Outcome,
    RepeatRule,
)

MAX_BATCH = 500
BUSY_BATCH = 4
GATHER_SECONDS = 0.002
"""Once as many as ``BUSY_BATCH`` shared a transaction, the next one waits this long for company:
under load that halves what a record costs, and a lone request never waits."""

DEADLOCK, LOCK_TIMEOUT = 1213, 1205
"""MariaDB's and MySQL's numbers for a transaction that stood in another's way."""
DEADLOCKS = 5
T = TypeVar("T")

logger = logging.getLogger("edge.ledger")


class LedgerDownError(Exception):
    """The database does not answer; nothing was recorded."""


@dataclass(frozen=True)
class Lookup:
    """The keys of these hashes."""

    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """Something else that is in the database."""

    read: Callable[[Connection], Any]


Operation = Intent | Outcome | Abandonment | Lookup | Reading | Draw
Waiting = tuple[Operation, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Ledger:
    """Start it with ``start``, ask it from an event loop, stop it with ``stop``."""

    def __init__(
        self, engine: Engine, repeats: RepeatRule | None = None, mirror: Mirror | None = None
    ) -> None:
        self._engine = engine
        self._mirror = mirror
        self._repeats = repeats or RepeatRule()
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._connection: Connection | None = None
        self._waits_for_disk = True
        self._asked: dict[asyncio.Future[Any], float] = {}
        TALLY.watch_ledger(self)

    @property
    def waiting(self) -> int:
        """Operations that have been asked for and are not done."""
        return len(self._asked)

    @property
    def lag_seconds(self) -> float:
        """How long ago the oldest of them was asked for."""
        for asked in list(self._asked.values()):
            return time.monotonic() - asked
        return 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Record what was asked before, then end."""
        self._queue.put(None)
        self._thread.join()

    async def admit(self, intent: Intent) -> Admission:
        """Record an intent; raises LedgerDownError."""
        admission: Admission = await self._ask(intent)
        return admission

    async def complete(self, outcome: Outcome) -> Completed:
        """Commit how a request ended, on disk; raises LedgerDownError."""
        completed: Completed = await self._ask(outcome)
        return completed

    async def abandon(self, abandonment: Abandonment) -> Completed:
        """Commit that a request ended without an answer; raises LedgerDownError."""
        completed: Completed = await self._ask(abandonment)
        return completed

    async def look_up(self, hashes: Sequence[str]) -> dict[str, KeyRecord]:
        """The working keys of these hashes; raises LedgerDownError."""
        found: dict[str, KeyRecord] = await self._ask(Lookup(tuple(hashes)))
        return found

    async def read(self, read: Callable[[Connection], T]) -> T:
        """What it returns, within a transaction; raises LedgerDownError."""
        found: T = await self._ask(Reading(read))
        return found

    async def draw(self, wanted: Draw) -> Lease:
        """Take tokens of a rate out of its bucket; raises LedgerDownError."""
        found: Lease = await self._ask(wanted)
        return found

    async def _ask(self, operation: Operation) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._asked[future] = asked = time.monotonic()
        self._queue.put((operation, future, loop))
        outcome = "failed"
        try:
            answer = await future
            outcome = "done"
            return answer
        finally:
            del self._asked[future]
            TALLY.ledger_seconds.labels(outcome).observe(time.monotonic() - asked)

    def _work(self) -> None:
        busy = False
        while True:
            if busy:
                time.sleep(GATHER_SECONDS)
            batch, ended = self._take()
            busy = len(batch) >= BUSY_BATCH
            if batch:
                self._answer(batch)
            if ended:
                self._forget_connection()
                return

    def _take(self) -> tuple[list[Waiting], bool]:
        """Everything that waits, at least one."""
        item = self._queue.get()
        batch: list[Waiting] = []
        while item is not None:
            batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _answer(self, batch: list[Waiting]) -> None:
        operations = [operation for operation, _, _ in batch]
        results: dict[int, Any]
        try:
            results = self._transact_again(operations)
        except Exception:
            # Nothing of the batch was committed as far as is known: every asker fails closed.
            logger.exception("a transaction failed")
            self._forget_connection()
            results = {index: LedgerDownError() for index in range(len(batch))}
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        # Lookups last: what they count holds the batch's outcomes, whose askers must go on first.
        order = sorted(range(len(batch)), key=lambda i: isinstance(operations[i], Lookup))
        for index in order:
            _, future, loop = batch[index]
            loops.setdefault(loop, []).append((future, results[index]))
        for loop, pairs in loops.items():
            # The loop is gone when its process is stopping, and its futures with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, pairs)

    def _transact_again(self, operations: Sequence[Operation]) -> dict[int, Any]:
        """Once more where another replica's transaction was in the way, and the database has
        undone this one.
        """
        for _ in range(DEADLOCKS):
            try:
                return self._transact(operations)
            except OperationalError as error:
                if not _is_deadlock(error):
                    raise
                logger.info("a transaction is repeated: %s", error.orig)
        return self._transact(operations)

    def _transact(self, operations: Sequence[Operation]) -> dict[int, Any]:
        intents = {i: o for i, o in enumerate(operations) if isinstance(o, Intent)}
        endings = {i: o for i, o in enumerate(operations) if isinstance(o, (Outcome, Abandonment))}
        lookups = {i: o for i, o in enumerate(operations) if isinstance(o, Lookup)}
        draws = {i: o for i, o in enumerate(operations) if isinstance(o, Draw)}
        if self._connection is None:
            self._connection = self._engine.connect()
            self._waits_for_disk = True
        connection = self._connection
        self._wait_for_disk(connection, bool(endings))
        results: dict[int, Any] = {}
        began_ms = now_ms()
        with connection.begin():
            if endings:
                completed = complete(connection, list(endings.values()), self._repeats)
                results.update(zip(endings, completed, strict=True))
            if intents:
                admitted = admit(connection, list(intents.values()), self._repeats)
                results.update(zip(intents, admitted, strict=True))
            if draws:
                results.update(zip(draws, lease(connection, list(draws.values())), strict=True))
            if lookups:
                found = find_keys(connection, {h for o in lookups.values() for h in o.hashes})
                for index, lookup in lookups.items():
                    results[index] = {h: found[h] for h in lookup.hashes if h in found}
            for index, operation in enumerate(operations):
                if isinstance(operation, Reading):
                    results[index] = operation.read(connection)
            if endings and self._mirror is not None:
                self._mirror.note(connection, changed_rows(list(endings.values()), began_ms))
        if endings and self._mirror is not None:
            self._mirror.write(self._engine)
        return results

    def _wait_for_disk(self, connection: Connection, needed: bool) -> None:
        if connection.dialect.name != "sqlite" or needed == self._waits_for_disk:
            return
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA synchronous={'FULL' if needed else 'NORMAL'}")
        self._waits_for_disk = needed

    def _forget_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None


def _is_deadlock(error: OperationalError) -> bool:
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code in (DEADLOCK, LOCK_TIMEOUT)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

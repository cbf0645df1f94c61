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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, bindparam, insert, select, tuple_, update
from sqlalchemy.dialects import mysql, sqlite

from accounts.clock import HOUR_MS, month_of, now_ms
from accounts.tables import BILLED, FAILED, INTENT, Account, ApiKey, Event, QuotaMonth, UsageHour

MOST_AT_ONCE = 500
BUSY_BATCH = 4
GATHER_SECONDS = 0.002
"""Once as many as ``BUSY_BATCH`` shared a transaction, the next one waits this long for company:
under load that halves what a record costs, and a lone request never waits."""

logger = logging.getLogger("edge.ledger")


class LedgerDown(Exception):
    """The database does not answer; nothing was recorded."""


class Admitted(Enum):
    """What became of an intent."""

    NEW = "new"
    REPEATED = "repeated"
    """Under an id that was not billed before."""
    BILLED_BEFORE = "billed before"
    """A repeat that will not be billed again."""
    REUSED = "reused"
    """The id belongs to another request, or was repeated too often; nothing was recorded."""
    NO_ROOM = "no room"
    """The quota is used up, and it is no repeat of something billed; nothing was recorded."""


@dataclass(frozen=True)
class Intent:
    """A request that is about to reach a model.

    Attributes:
        room: whether the quota has room for another billed request.
    """

    account_id: str
    request_id: str
    attempt_id: int
    key_id: str
    model: str
    request_bytes: int
    started_ms: int
    room: bool = True


@dataclass(frozen=True)
class Outcome:
    """How an answer's headers say that a request ended."""

    account_id: str
    request_id: str
    key_id: str
    family: str
    model: str
    revision: str
    status: int
    billed: bool
    instances: int
    pixels: int
    request_bytes: int
    response_bytes: int
    milliseconds: int


@dataclass(frozen=True)
class KeyRecord:
    """A working key as the database has it."""

    hash: str
    key_id: str
    account_id: str
    family: str
    scopes: frozenset[str]
    quota_requests: int | None
    used_requests: int
    rate_per_second: int
    expires_ms: int | None


@dataclass(frozen=True)
class RepeatRule:
    """How a billed id may be repeated by a client that saw no answer.

    Answers are counted, not attempts: a client may knock as often as it likes while a model is
    down, but an id is no season ticket.
    """

    answers: int = 10
    seconds: int = 3600


@dataclass(frozen=True)
class Lookup:
    """The keys of these hashes."""

    hashes: tuple[str, ...]


Operation = Intent | Outcome | Lookup
Waiting = tuple[Operation, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Ledger:
    """Start it with ``start``, ask it from an event loop, stop it with ``stop``."""

    def __init__(self, engine: Engine, repeats: RepeatRule | None = None) -> None:
        self._engine = engine
        self._repeats = repeats or RepeatRule()
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._connection: Connection | None = None
        self._waits_for_disk = True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Record what was asked before, then end."""
        self._queue.put(None)
        self._thread.join()

    async def admit(self, intent: Intent) -> Admitted:
        """Record an intent; raises LedgerDown."""
        admitted: Admitted = await self._ask(intent)
        return admitted

    async def complete(self, outcome: Outcome) -> bool:
        """Commit how a request ended, on disk; raises LedgerDown.

        Returns:
            Whether it was billed by this; False for failures and for repeats.
        """
        billed: bool = await self._ask(outcome)
        return billed

    async def look_up(self, hashes: Sequence[str]) -> dict[str, KeyRecord]:
        """The working keys of these hashes; raises LedgerDown."""
        found: dict[str, KeyRecord] = await self._ask(Lookup(tuple(hashes)))
        return found

    async def _ask(self, operation: Operation) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put((operation, future, loop))
        return await future

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
            if len(batch) >= MOST_AT_ONCE:
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
            results = self._transact(operations)
        except Exception:
            # Nothing of the batch was committed as far as is known: every asker fails closed.
            logger.exception("a transaction failed")
            self._forget_connection()
            results = {index: LedgerDown() for index in range(len(batch))}
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

    def _transact(self, operations: Sequence[Operation]) -> dict[int, Any]:
        intents = {i: o for i, o in enumerate(operations) if isinstance(o, Intent)}
        outcomes = {i: o for i, o in enumerate(operations) if isinstance(o, Outcome)}
        lookups = {i: o for i, o in enumerate(operations) if isinstance(o, Lookup)}
        if self._connection is None:
            self._connection = self._engine.connect()
            self._waits_for_disk = True
        connection = self._connection
        self._wait_for_disk(connection, bool(outcomes))
        results: dict[int, Any] = {}
        with connection.begin():
            if outcomes:
                results.update(zip(outcomes, _complete(connection, outcomes.values()), strict=True))
            if intents:
                admitted = _admit(connection, list(intents.values()), self._repeats)
                results.update(zip(intents, admitted, strict=True))
            if lookups:
                found = _find_keys(connection, {h for o in lookups.values() for h in o.hashes})
                for index, lookup in lookups.items():
                    results[index] = {h: found[h] for h in lookup.hashes if h in found}
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


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


_INTENT_ROW = {
    "attempts": 1,
    "answers": 0,
    "state": INTENT,
    "revision": "",
    "status": 0,
    "instances": 0,
    "pixels": 0,
    "response_bytes": 0,
    "milliseconds": 0,
}
_EVENTS = cast(Table, Event.__table__)
_INSERT_NEW = {
    "sqlite": sqlite.insert(_EVENTS).on_conflict_do_nothing(),
    "mysql": insert(_EVENTS).prefix_with("IGNORE"),
}
_OWN = (
    _EVENTS.c.account_id == bindparam("of_account"),
    _EVENTS.c.request_id == bindparam("of_request"),
)
_REPEAT_OPEN = (
    update(_EVENTS)
    .where(*_OWN)
    .values(
        attempts=_EVENTS.c.attempts + 1,
        state=INTENT,
        attempt_id=bindparam("new_attempt"),
        key_id=bindparam("new_key"),
        started_ms=bindparam("new_started"),
    )
)
_REPEAT_BILLED = update(_EVENTS).where(*_OWN).values(attempts=_EVENTS.c.attempts + 1)
_COMPLETE = (
    update(_EVENTS)
    .where(*_OWN)
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "state",
                "answers",
                "key_id",
                "revision",
                "status",
                "instances",
                "pixels",
                "request_bytes",
                "response_bytes",
                "milliseconds",
                "completed_ms",
            )
        }
    )
)
_ANSWER_AGAIN = update(_EVENTS).where(*_OWN).values(answers=_EVENTS.c.answers + 1)
_SUMS = (
    "requests",
    "failures",
    "instances",
    "pixels",
    "request_bytes",
    "response_bytes",
    "milliseconds",
)


def _admit(connection: Connection, intents: list[Intent], rule: RepeatRule) -> list[Admitted]:
    new = [intent for intent in intents if intent.room]
    inserted = 0
    if new:
        rows = [
            {
                **_INTENT_ROW,
                "account_id": intent.account_id,
                "request_id": intent.request_id,
                "attempt_id": intent.attempt_id,
                "key_id": intent.key_id,
                "model": intent.model,
                "request_bytes": intent.request_bytes,
                "started_ms": intent.started_ms,
            }
            for intent in new
        ]
        inserted = connection.execute(_INSERT_NEW[connection.dialect.name], rows).rowcount
    if inserted == len(intents):
        return [Admitted.NEW] * len(intents)
    return _admit_repeats(connection, intents, rule)


def _admit_repeats(
    connection: Connection, intents: list[Intent], rule: RepeatRule
) -> list[Admitted]:
    stored = _stored(connection, [(i.account_id, i.request_id) for i in intents])
    results, opened, billed = [], [], []
    for intent in intents:
        row = stored.get((intent.account_id, intent.request_id))
        if row is None:
            results.append(Admitted.NO_ROOM)
            continue
        if row.attempt_id == intent.attempt_id:
            results.append(Admitted.NEW)
            continue
        own = {"of_account": intent.account_id, "of_request": intent.request_id}
        if row.model != intent.model or row.request_bytes != intent.request_bytes:
            results.append(Admitted.REUSED)
        elif row.state == BILLED:
            age_ms = intent.started_ms - (row.completed_ms or 0)
            if row.answers >= rule.answers or age_ms > rule.seconds * 1000:
                results.append(Admitted.REUSED)
            else:
                results.append(Admitted.BILLED_BEFORE)
                billed.append(own)
        elif not intent.room:
            results.append(Admitted.NO_ROOM)
        else:
            results.append(Admitted.REPEATED)
            opened.append(
                {
                    **own,
                    "new_attempt": intent.attempt_id,
                    "new_key": intent.key_id,
                    "new_started": intent.started_ms,
                }
            )
    if opened:
        connection.execute(_REPEAT_OPEN, opened)
    if billed:
        connection.execute(_REPEAT_BILLED, billed)
    return results


def _complete(connection: Connection, outcomes: Iterable[Outcome]) -> list[bool]:
    outcomes = list(outcomes)
    stored = _stored(connection, [(o.account_id, o.request_id) for o in outcomes])
    done = {own for own, row in stored.items() if row.state == BILLED}
    now = now_ms()
    updates: dict[tuple[str, str], dict[str, Any]] = {}
    sums: dict[tuple[str, int, str, str, str], Counter[str]] = {}
    quotas: Counter[tuple[str, str]] = Counter()
    again: list[dict[str, str]] = []
    results = []
    for outcome in outcomes:
        own = (outcome.account_id, outcome.request_id)
        if own not in stored:
            raise LookupError("an answer without an intent")
        first = own not in done
        results.append(first and outcome.billed)
        if first:
            updates[own] = _completion(outcome, now)
        elif outcome.billed:
            again.append({"of_account": own[0], "of_request": own[1]})
        hour = now - now % HOUR_MS
        window = (outcome.account_id, hour, outcome.key_id, outcome.model, outcome.revision)
        if first and outcome.billed:
            done.add(own)
            quotas[outcome.family, month_of(now)] += 1
            sums.setdefault(window, Counter()).update(
                requests=1,
                instances=outcome.instances,
                pixels=outcome.pixels,
                request_bytes=outcome.request_bytes,
                response_bytes=outcome.response_bytes,
                milliseconds=outcome.milliseconds,
            )
        elif not outcome.billed:
            sums.setdefault(window, Counter()).update(failures=1)
    if updates:
        connection.execute(_COMPLETE, list(updates.values()))
    if again:
        connection.execute(_ANSWER_AGAIN, again)
    for window, counts in sorted(sums.items()):
        names = ("account_id", "hour_ms", "key_id", "model", "revision")
        row = {**dict(zip(names, window, strict=True)), **{n: counts[n] for n in _SUMS}}
        _add(connection, UsageHour.__table__, row, _SUMS)
    for (family, month), requests in sorted(quotas.items()):
        row = {"family": family, "month": month, "requests": requests}
        _add(connection, QuotaMonth.__table__, row, ("requests",))
    return results


def _completion(outcome: Outcome, now: int) -> dict[str, Any]:
    return {
        "of_account": outcome.account_id,
        "of_request": outcome.request_id,
        "new_state": BILLED if outcome.billed else FAILED,
        "new_answers": int(outcome.billed),
        "new_key_id": outcome.key_id,
        "new_revision": outcome.revision,
        "new_status": outcome.status,
        "new_instances": outcome.instances,
        "new_pixels": outcome.pixels,
        "new_request_bytes": outcome.request_bytes,
        "new_response_bytes": outcome.response_bytes,
        "new_milliseconds": outcome.milliseconds,
        "new_completed_ms": now,
    }


def _stored(connection: Connection, owns: list[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """What is stored under these ids, locked until the transaction ends."""
    columns = _EVENTS.c
    rows = connection.execute(
        select(
            columns.account_id,
            columns.request_id,
            columns.attempt_id,
            columns.answers,
            columns.state,
            columns.model,
            columns.request_bytes,
            columns.completed_ms,
        )
        .where(tuple_(columns.account_id, columns.request_id).in_(owns))
        .with_for_update()
    )
    return {(row.account_id, row.request_id): row for row in rows}


def _add(connection: Connection, table: Any, row: dict[str, Any], sums: tuple[str, ...]) -> None:
    """Insert a row of counters, or add to the one that is there."""
    if connection.dialect.name == "sqlite":
        statement: Any = sqlite.insert(table).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={name: table.c[name] + statement.excluded[name] for name in sums},
        )
    else:
        statement = mysql.insert(table).values(row)
        statement = statement.on_duplicate_key_update(
            {name: table.c[name] + statement.inserted[name] for name in sums}
        )
    connection.execute(statement)


def _find_keys(connection: Connection, hashes: set[str]) -> dict[str, KeyRecord]:
    now = now_ms()
    rows = connection.execute(
        select(ApiKey, QuotaMonth.requests)
        .join(Account, Account.id == ApiKey.account_id)
        .outerjoin(
            QuotaMonth, (QuotaMonth.family == ApiKey.family) & (QuotaMonth.month == month_of(now))
        )
        .where(
            ApiKey.hash.in_(hashes),
            ApiKey.revoked_ms.is_(None),
            Account.closed_ms.is_(None),
            Account.verified_ms.is_not(None),
        )
    )
    return {
        row.hash: KeyRecord(
            row.hash,
            row.id,
            row.account_id,
            row.family,
            frozenset(row.scopes.split()),
            row.quota_requests,
            row.requests or 0,
            row.rate_per_second,
            row.expires_ms,
        )
        for row in rows
    }

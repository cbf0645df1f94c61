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
from collections.abc import Sequence
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

WITHHELD_STATUS = 409
"""What the client sees of an answer that does not leave."""

logger = logging.getLogger("edge.ledger")


class LedgerDown(Exception):
    """The database does not answer; nothing was recorded."""


class Admitted(Enum):
    """What became of an intent."""

    NEW = "new"
    REPEATED = "repeated"
    """Under an id that was not billed before."""
    BILLED_BEFORE = "billed before"
    """A repeat that will not be billed again; one of the repeats that its id may have is reserved
    for it."""
    REUSED = "reused"
    """The id belongs to another request, or was repeated too often; nothing was recorded."""
    NO_ROOM = "no room"
    """The quota is used up, and it is no repeat of something billed; nothing was recorded."""


@dataclass(frozen=True)
class Admission:
    """Attributes:
    content: digest of what the id belongs to; empty where nobody knows yet.
    """

    admitted: Admitted
    content: str = ""


class Completed(Enum):
    """What became of an answer."""

    BILLED = "billed"
    REPEATED = "repeated"
    """Given again, not billed again."""
    FAILED = "failed"
    WITHHELD = "withheld"
    """Of another content than the id belongs to, or one repeat too many: it must not leave."""


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
    """How an answer's headers say that a request ended.

    Attributes:
        reserved: whether the intent was admitted as ``BILLED_BEFORE``.
        content: digest of what was asked; empty where the model server did not read it.
    """

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
    reserved: bool = False
    content: str = ""


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

    async def admit(self, intent: Intent) -> Admission:
        """Record an intent; raises LedgerDown."""
        admission: Admission = await self._ask(intent)
        return admission

    async def complete(self, outcome: Outcome) -> Completed:
        """Commit how a request ended, on disk; raises LedgerDown."""
        completed: Completed = await self._ask(outcome)
        return completed

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
                completed = _complete(connection, list(outcomes.values()), self._repeats)
                results.update(zip(outcomes, completed, strict=True))
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
    "content": "",
    "answers": 0,
    "withheld": 0,
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
_REPEAT_BILLED = (
    update(_EVENTS)
    .where(*_OWN)
    .values(attempts=_EVENTS.c.attempts + 1, answers=_EVENTS.c.answers + 1)
)
_COMPLETION = (
    "state",
    "content",
    "answers",
    "withheld",
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
"""What an answer changes of an event."""
_COMPLETE = (
    update(_EVENTS).where(*_OWN).values({name: bindparam(f"new_{name}") for name in _COMPLETION})
)
_SUMS = (
    "requests",
    "failures",
    "instances",
    "pixels",
    "request_bytes",
    "response_bytes",
    "milliseconds",
)


def _admit(connection: Connection, intents: list[Intent], rule: RepeatRule) -> list[Admission]:
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
        return [Admission(Admitted.NEW)] * len(intents)
    return _admit_repeats(connection, intents, rule)


def _admit_repeats(
    connection: Connection, intents: list[Intent], rule: RepeatRule
) -> list[Admission]:
    stored = _stored(connection, [(i.account_id, i.request_id) for i in intents])
    results, opened, billed = [], [], []
    for intent in intents:
        row = stored.get((intent.account_id, intent.request_id))
        if row is None:
            results.append(Admission(Admitted.NO_ROOM))
            continue
        if row["attempt_id"] == intent.attempt_id:
            results.append(Admission(Admitted.NEW))
            continue
        admitted = _repeat(row, intent, rule)
        results.append(Admission(admitted, row["content"]))
        own = {"of_account": intent.account_id, "of_request": intent.request_id}
        if admitted is Admitted.BILLED_BEFORE:
            # Counted here, under the lock that admits it, and not when it is answered: however
            # many come at once, the next one sees it. A failure gives it back.
            row["answers"] += 1
            billed.append(own)
        elif admitted is Admitted.REPEATED:
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


def _repeat(row: dict[str, Any], intent: Intent, rule: RepeatRule) -> Admitted:
    """What an intent under an id that is taken may do. The content itself is compared where the
    body is; what can be told without it is told here.
    """
    if row["model"] != intent.model:
        return Admitted.REUSED
    # The lengths of two chunked bodies are not known, and say nothing.
    if min(row["request_bytes"], intent.request_bytes) >= 0 and (
        row["request_bytes"] != intent.request_bytes
    ):
        return Admitted.REUSED
    if row["state"] != BILLED:
        return Admitted.REPEATED if intent.room else Admitted.NO_ROOM
    age_ms = intent.started_ms - (row["completed_ms"] or 0)
    if row["answers"] >= rule.answers or age_ms > rule.seconds * 1000:
        return Admitted.REUSED
    return Admitted.BILLED_BEFORE


def _complete(connection: Connection, outcomes: list[Outcome], rule: RepeatRule) -> list[Completed]:
    stored = _stored(connection, [(o.account_id, o.request_id) for o in outcomes])
    now = now_ms()
    sums: dict[tuple[str, int, str, str, str], Counter[str]] = {}
    quotas: Counter[tuple[str, str]] = Counter()
    results = []
    for outcome in outcomes:
        row = stored.get((outcome.account_id, outcome.request_id))
        if row is None:
            raise LookupError("an answer without an intent")
        completed = _end(row, outcome, rule, now)
        results.append(completed)
        hour = now - now % HOUR_MS
        window = (outcome.account_id, hour, outcome.key_id, outcome.model, outcome.revision)
        if completed is Completed.BILLED:
            quotas[outcome.family, month_of(now)] += 1
            sums.setdefault(window, Counter()).update(
                requests=1,
                instances=outcome.instances,
                pixels=outcome.pixels,
                request_bytes=outcome.request_bytes,
                response_bytes=outcome.response_bytes,
                milliseconds=outcome.milliseconds,
            )
        elif completed is not Completed.REPEATED:
            sums.setdefault(window, Counter()).update(failures=1)
    changes = [
        {
            "of_account": account_id,
            "of_request": request_id,
            **{f"new_{name}": row[name] for name in _COMPLETION},
        }
        for (account_id, request_id), row in stored.items()
    ]
    connection.execute(_COMPLETE, changes)
    for window, counts in sorted(sums.items()):
        names = ("account_id", "hour_ms", "key_id", "model", "revision")
        totals = {**dict(zip(names, window, strict=True)), **{n: counts[n] for n in _SUMS}}
        _add(connection, UsageHour.__table__, totals, _SUMS)
    for (family, month), requests in sorted(quotas.items()):
        totals = {"family": family, "month": month, "requests": requests}
        _add(connection, QuotaMonth.__table__, totals, ("requests",))
    return results


def _end(row: dict[str, Any], outcome: Outcome, rule: RepeatRule, now: int) -> Completed:
    """Change an event as an answer does.

    The first answer bills the event and decides what content its id belongs to, if no failure
    did before. Everything after it is the same content once more, or is withheld.
    """
    if not outcome.billed:
        completed = Completed.FAILED
    elif row["content"] not in ("", outcome.content):
        completed = Completed.WITHHELD
    elif row["state"] != BILLED:
        completed = Completed.BILLED
        row["answers"] = 1
    elif outcome.reserved:
        return Completed.REPEATED
    elif row["answers"] < rule.answers:
        # Admitted before the first answer was there, so nothing was reserved for it.
        row["answers"] += 1
        return Completed.REPEATED
    else:
        completed = Completed.WITHHELD
    if completed is not Completed.BILLED:
        row["answers"] -= outcome.reserved
        row["withheld"] += completed is Completed.WITHHELD
    if row["state"] != BILLED:
        row.update(_completion(outcome, completed, row["content"] or outcome.content, now))
    return completed


def _completion(outcome: Outcome, completed: Completed, content: str, now: int) -> dict[str, Any]:
    billed = completed is Completed.BILLED
    return {
        "state": BILLED if billed else FAILED,
        "content": content,
        "key_id": outcome.key_id,
        "revision": outcome.revision,
        "status": WITHHELD_STATUS if completed is Completed.WITHHELD else outcome.status,
        "instances": outcome.instances if billed else 0,
        "pixels": outcome.pixels if billed else 0,
        "request_bytes": outcome.request_bytes,
        "response_bytes": outcome.response_bytes,
        "milliseconds": outcome.milliseconds,
        "completed_ms": now,
    }


def _stored(
    connection: Connection, owns: list[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """What is stored under these ids, locked until the transaction ends."""
    rows = connection.execute(
        select(_EVENTS)
        .where(tuple_(_EVENTS.c.account_id, _EVENTS.c.request_id).in_(owns))
        .with_for_update()
    )
    return {(row.account_id, row.request_id): dict(row._mapping) for row in rows}


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

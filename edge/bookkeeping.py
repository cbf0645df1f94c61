"""The ledger's transactions: what an intent, an answer and its absence change in the tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import mysql, sqlite

from accounts.clock import HOUR_MS, month_of, now_ms
from accounts.keys import GIVES_FEEDBACK
from accounts.mirror import Changed
from accounts.tables import (
    BILLED,
    FAILED,
    INTENT,
    Account,
    ApiKey,
    CaptureChoice,
    Event,
    Prediction,
    QuotaMonth,
    RateBucket,
    UsageHour,
)
from edge.rate import NANOSECONDS, Draw, Lease, draw
from edge.records import (
    Abandonment,
    Admission,
    Admitted,
    Completed,
    Intent,
    KeyRecord,
    Outcome,
    RepeatRule,
)
from edge.room import Room, find_room

WITHHELD_STATUS = 409
"""What the client sees of an answer that does not leave."""
UNANSWERED_STATUSES = (499, 504)
"""The client went away; the service was too slow."""

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
    "unanswered_milliseconds": 0,
}
_EVENTS = cast(Table, Event.__table__)


def _insert_new(table: Table) -> dict[str, Insert]:
    """By dialect: rows whose key is there already stay as they are."""
    return {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
        "mysql": insert(table).prefix_with("IGNORE"),
    }


_CHOICES = cast(Table, CaptureChoice.__table__)
_INSERT_NEW = _insert_new(_EVENTS)
_INSERT_PREDICTION = _insert_new(cast(Table, Prediction.__table__))
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
    "unanswered_milliseconds",
    "completed_ms",
    "experiment",
    "variant",
    "subject",
    "unsure",
)
"""What an answer changes of an event."""
_COMPLETE = (
    update(_EVENTS).where(*_OWN).values({name: bindparam(f"new_{name}") for name in _COMPLETION})
)
_BUCKETS = cast(Table, RateBucket.__table__)
_NEW_BUCKET = _insert_new(_BUCKETS)
_DRAWN = (
    update(_BUCKETS)
    .where(_BUCKETS.c.name == bindparam("of_name"))
    .values(due_ns=bindparam("new_due"))
)
_SUMS = (
    "requests",
    "failures",
    "instances",
    "pixels",
    "request_bytes",
    "response_bytes",
    "milliseconds",
    "unanswered_milliseconds",
)


def admit(connection: Connection, intents: list[Intent], rule: RepeatRule) -> list[Admission]:
    room = find_room(connection, intents)
    new = [intent for number, intent in enumerate(intents) if number not in room.refused]
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
        return [Admission(Admitted.NEW, "", room.left.get(n, 0)) for n in range(len(intents))]
    return _admit_repeats(connection, intents, rule, room)


def _admit_repeats(
    connection: Connection, intents: list[Intent], rule: RepeatRule, room: Room
) -> list[Admission]:
    stored = _stored(connection, [(i.account_id, i.request_id) for i in intents])
    results, opened, billed = [], [], []
    for number, intent in enumerate(intents):
        row = stored.get((intent.account_id, intent.request_id))
        refused = room.refused.get(number)
        if refused is not None and (row is None or refused is not Admitted.NO_ROOM):
            results.append(Admission(refused))
            continue
        assert row is not None
        if row["attempt_id"] == intent.attempt_id:
            results.append(Admission(Admitted.NEW, "", room.left.get(number, 0)))
            continue
        admitted = _repeat(row, intent, rule, refused)
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


def _repeat(
    row: dict[str, Any], intent: Intent, rule: RepeatRule, refused: Admitted | None
) -> Admitted:
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
        return refused or Admitted.REPEATED
    age_ms = intent.started_ms - (row["completed_ms"] or 0)
    if row["answers"] >= rule.answers or age_ms > rule.seconds * 1000:
        return Admitted.REUSED
    return Admitted.BILLED_BEFORE


def complete(
    connection: Connection, endings: Sequence[Outcome | Abandonment], rule: RepeatRule
) -> list[Completed]:
    """Change the events as their requests ended, with windows and quotas; in their order."""
    outcomes = [e.outcome if isinstance(e, Abandonment) else e for e in endings]
    stored = _stored(connection, [(o.account_id, o.request_id) for o in outcomes])
    now = now_ms()
    sums: dict[tuple[str, int, str, str, str], Counter[str]] = {}
    quotas: Counter[tuple[str, str]] = Counter()
    predictions: list[dict[str, Any]] = []
    results = []
    for ending, outcome in zip(endings, outcomes, strict=True):
        row = stored.get((outcome.account_id, outcome.request_id))
        if isinstance(ending, Abandonment):
            completed = Completed.NOTHING if row is None else _abandon(row, ending, now)
        elif row is None:
            raise LookupError("an answer without an intent")
        else:
            completed = _end(row, outcome, rule, now)
        results.append(completed)
        counts = _counts(completed, outcome)
        if completed is Completed.BILLED:
            quotas[outcome.family, month_of(now)] += 1
            if outcome.predicted:
                predictions.append(
                    {
                        "account_id": outcome.account_id,
                        "request_id": outcome.request_id,
                        "model": outcome.model,
                        "revision": outcome.revision,
                        "predicted": outcome.predicted,
                        "at_ms": now,
                    }
                )
        if counts:
            hour = now - now % HOUR_MS
            window = (outcome.account_id, hour, outcome.key_id, outcome.model, outcome.revision)
            sums.setdefault(window, Counter()).update(counts)
    changes = [
        {
            "of_account": account_id,
            "of_request": request_id,
            **{f"new_{name}": row[name] for name in _COMPLETION},
        }
        for (account_id, request_id), row in stored.items()
    ]
    if changes:
        connection.execute(_COMPLETE, changes)
    if predictions:
        connection.execute(_INSERT_PREDICTION[connection.dialect.name], predictions)
    for window, summed in sorted(sums.items()):
        names = ("account_id", "hour_ms", "key_id", "model", "revision")
        totals = {**dict(zip(names, window, strict=True)), **{n: summed[n] for n in _SUMS}}
        _add(connection, UsageHour.__table__, totals, _SUMS)
    for (family, month), requests in sorted(quotas.items()):
        totals = {"family": family, "month": month, "requests": requests}
        _add(connection, QuotaMonth.__table__, totals, ("requests",))
    return results


def changed_rows(endings: Sequence[Outcome | Abandonment], began_ms: int) -> Changed:
    """The rows that ``complete`` may have changed since ``began_ms``, and no others of theirs."""
    changed: Changed = set()
    moments = {began_ms, now_ms()}
    for outcome in (e.outcome if isinstance(e, Abandonment) else e for e in endings):
        changed.add((Event.__tablename__, (outcome.account_id, outcome.request_id)))
        for moment in moments:
            window = (
                *(outcome.account_id, moment - moment % HOUR_MS),
                *(outcome.key_id, outcome.model, outcome.revision),
            )
            changed.add((UsageHour.__tablename__, window))
            changed.add((QuotaMonth.__tablename__, (outcome.family, month_of(moment))))
    return changed


def _counts(completed: Completed, outcome: Outcome) -> dict[str, int]:
    """What an ending adds to its window."""
    if completed is Completed.BILLED:
        return {
            "requests": 1,
            "instances": outcome.instances,
            "pixels": outcome.pixels,
            "request_bytes": outcome.request_bytes,
            "response_bytes": outcome.response_bytes,
            "milliseconds": outcome.milliseconds,
        }
    if completed in (Completed.REPEATED, Completed.NOTHING):
        return {}
    return {"failures": 1, "unanswered_milliseconds": _unanswered(completed, outcome)}


def _unanswered(completed: Completed, outcome: Outcome) -> int:
    """Milliseconds of work that led to no answer: given up, too slow, or kept back."""
    lost = completed is Completed.WITHHELD or outcome.status in UNANSWERED_STATUSES
    return outcome.milliseconds if lost else 0


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
        row["unanswered_milliseconds"] += _unanswered(completed, outcome)
    content = row["content"] or outcome.content
    if completed is not Completed.BILLED and _is_anothers(row, outcome):
        # Its repeat is under way, and may be billed yet.
        row["content"] = content
    elif row["state"] != BILLED:
        row.update(_completion(outcome, completed, content, now))
    return completed


def _is_anothers(row: dict[str, Any], outcome: Outcome) -> bool:
    """Whether the event is the intent of another attempt."""
    known = outcome.attempt_id != 0
    return known and row["state"] == INTENT and row["attempt_id"] != outcome.attempt_id


def _abandon(row: dict[str, Any], ending: Abandonment, now: int) -> Completed:
    """Change an event as the end of an attempt does that had no answer."""
    outcome = ending.outcome
    current = row["state"] == INTENT and row["attempt_id"] == ending.attempt_id
    if not (current or ending.unanswered):
        return Completed.NOTHING
    row["answers"] -= outcome.reserved
    row["unanswered_milliseconds"] += _unanswered(Completed.FAILED, outcome)
    if current:
        row.update(_completion(outcome, Completed.FAILED, row["content"], now))
    return Completed.FAILED


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
        "experiment": outcome.experiment,
        "variant": outcome.variant,
        "subject": outcome.subject,
        "unsure": outcome.unsure if billed else None,
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


def lease(connection: Connection, draws: Sequence[Draw]) -> list[Lease]:
    """Take tokens out of buckets, each as many as it has of what is wanted."""
    names = sorted({item.bucket for item in draws})
    buckets = _buckets(connection, names)
    if missing := [name for name in names if name not in buckets]:
        rows = [{"name": name, "due_ns": 0} for name in missing]
        connection.execute(_NEW_BUCKET[connection.dialect.name], rows)
        buckets = _buckets(connection, names)
    leases = []
    for item in draws:
        due, now = buckets[item.bucket]
        due, found = draw(due, now, item.rate_per_second, item.tokens)
        buckets[item.bucket] = due, now
        leases.append(found)
    changes = [{"of_name": name, "new_due": due} for name, (due, _) in buckets.items()]
    connection.execute(_DRAWN, changes)
    return leases


def _buckets(connection: Connection, names: list[str]) -> dict[str, tuple[int, int]]:
    """Bucket and present time, by name, locked; by the clock that all replicas share."""
    clock: ColumnElement[int] = literal(time.time_ns())
    if connection.dialect.name != "sqlite":
        clock = sql_cast(func.unix_timestamp(func.now(6)) * NANOSECONDS, BigInteger)
    rows = connection.execute(
        select(_BUCKETS.c.name, _BUCKETS.c.due_ns, clock)
        .where(_BUCKETS.c.name.in_(names))
        .order_by(_BUCKETS.c.name)
        .with_for_update()
    )
    return {name: (int(due), int(now)) for name, due, now in rows}


def find_keys(connection: Connection, hashes: set[str]) -> dict[str, KeyRecord]:
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
    ).all()
    captures: dict[str, dict[str, float]] = {}
    wanted = {row.account_id for row in rows if GIVES_FEEDBACK in row.scopes}
    if wanted:
        for choice in connection.execute(select(_CHOICES).where(_CHOICES.c.account_id.in_(wanted))):
            captures.setdefault(choice.account_id, {})[choice.model] = choice.percent
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
            captures.get(row.account_id, {}) if GIVES_FEEDBACK in row.scopes else {},
        )
        for row in rows
    }

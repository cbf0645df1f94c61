"""A second place for what people are billed by, written before anybody is answered.

A transaction that changes a mirrored table takes the next number, under a lock that it holds to its
end, and leaves the rows that it changed, as they are then, in the table ``unmirrored``. After the
commit, and before its caller goes on, everything there is written to the mirror, an object a
transaction, in order. So whoever was answered is in the mirror, a process that ends between the
commit and the mirror leaves its rows to the next one, and nothing slow runs in a transaction.

A database that was restored from a backup is brought up by writing the rows of later numbers again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, delete, event, insert, select, tuple_, update
from sqlalchemy.orm import Session

from accounts.errors import BusyError
from accounts.tables import (
    Account,
    ApiKey,
    AuditEntry,
    Base,
    Domain,
    Event,
    Experiment,
    Invoice,
    MirrorPosition,
    QuotaMonth,
    Unmirrored,
    UsageHour,
)
from registry.errors import ExistsError, RegistryError
from registry.objects import ObjectStore
from registry.opening import open_store

CHANGES = "changes/"
MIRRORED = (Account, ApiKey, Event, UsageHour, QuotaMonth, Invoice, AuditEntry, Experiment, Domain)
_TABLES: dict[str, Table] = {kind.__tablename__: cast(Table, kind.__table__) for kind in MIRRORED}
_POSITION = cast(Table, MirrorPosition.__table__)
_UNMIRRORED = cast(Table, Unmirrored.__table__)

Changed = set[tuple[str, tuple[Any, ...]]]
"""Table and primary key of every row that a transaction changes."""


class MirrorError(BusyError):
    """The mirror cannot be written, or is not that of this database."""


class Mirror:
    """Of one database, in a store of objects."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._written = 0

    @contextlib.contextmanager
    def watching(self, session: Session) -> Iterator[Changed]:
        """Collects what a session changes in the mirrored tables, object by object."""
        changed: Changed = set()

        def flushed(flushing: Session, _: Any) -> None:
            for row in {*flushing.new, *flushing.dirty, *flushing.deleted}:
                if isinstance(row, MIRRORED):
                    changed.add((row.__tablename__, _key_of(row)))

        event.listen(session, "after_flush", flushed)
        try:
            yield changed
        finally:
            event.remove(session, "after_flush", flushed)

    def note(self, connection: Connection, changed: Changed) -> None:
        """Leave the changed rows in the transaction that changed them, as its last statements."""
        if not changed:
            return
        connection.execute(update(_POSITION).values(number=_POSITION.c.number + 1))
        number = connection.execute(select(_POSITION.c.number)).scalar_one()
        # Read under the lock of the number: nobody with a smaller one changes them any more.
        document = json.dumps({"number": number, "rows": list(_rows(connection, changed))})
        connection.execute(delete(_UNMIRRORED).where(_UNMIRRORED.c.number <= self._written))
        connection.execute(insert(_UNMIRRORED), {"number": number, "document": document})

    def write(self, engine: Engine) -> None:
        """Bring the mirror up to what is committed.

        Raises:
            MirrorError: it cannot be written; what was committed is written by the next call.
        """
        with engine.connect().execution_options(read_only=True) as connection:
            waiting = connection.execute(
                select(_UNMIRRORED)
                .where(_UNMIRRORED.c.number > self._written)
                .order_by(_UNMIRRORED.c.number)
            ).all()
        for number, document in waiting:
            try:
                self._create(_object(number), document.encode())
            except RegistryError as error:
                raise MirrorError(
                    f"the mirror of the accounts cannot be written: {error}"
                ) from None
            self._written = number

    def _create(self, key: str, data: bytes) -> None:
        try:
            self.store.create(key, data)
        except ExistsError:
            if self.store.read(key).data != data:
                raise MirrorError(
                    f"{self.store.url} is the mirror of another database: it has another {key}; "
                    "name an empty place, or restore with it"
                ) from None


def open_mirror(url: str) -> Mirror | None:
    """The mirror at ``s3://bucket/prefix`` or in a folder; None where none is named.

    Raises:
        MirrorError: it cannot be opened.
    """
    try:
        return Mirror(open_store(url)) if url else None
    except RegistryError as error:
        raise MirrorError(f"the accounts' mirror cannot be opened: {error}") from None


def bring_up(engine: Engine, store: ObjectStore) -> int:
    """Write the mirror's rows into a database that was restored; returns how many transactions.

    Raises:
        MirrorError: one is missing, or the mirror ends before the database does.
    """
    done = 0
    with engine.begin() as connection:
        number = connection.execute(select(_POSITION.c.number)).scalar_one()
        known = {_number(key) for key in store.keys(CHANGES)}
        if number and known and max(known) < number:
            raise MirrorError(f"{store.url} ends at {max(known)}, before the database's {number}")
        for following in count(number + 1):
            if following not in known:
                break
            document = json.loads(store.read(_object(following)).data)
            _apply(connection, document["rows"])
            done += 1
        if any(later > number + done for later in known):
            raise MirrorError(f"{store.url}: {_object(number + done + 1)} is missing")
        connection.execute(update(_POSITION).values(number=number + done))
        connection.execute(delete(_UNMIRRORED))
    return done


def forget(store: ObjectStore, before: int) -> None:
    """Delete what no backup needs any more: the transactions up to a number."""
    for key in list(store.keys(CHANGES)):
        if _number(key) <= before:
            store.delete(key)


def _rows(connection: Connection, changed: Changed) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Table, primary key and row of each that changed; None in place of a row that is gone."""
    for name, table in _TABLES.items():
        wanted = {key for of, key in changed if of == name}
        if not wanted:
            continue
        columns = list(table.primary_key.columns)
        query = select(table).where(tuple_(*columns).in_(wanted))
        rows = [dict(row) for row in connection.execute(query).mappings()]
        found = {tuple(row[c.name] for c in columns): row for row in rows}
        for key in sorted(wanted):
            named = {c.name: value for c, value in zip(columns, key, strict=True)}
            yield name, named, found.get(key)


def _apply(connection: Connection, rows: Iterable[tuple[str, Mapping[str, Any], Any]]) -> None:
    # What others refer to first: an account before its keys and bills.
    order = {table.name: number for number, table in enumerate(Base.metadata.sorted_tables)}
    for name, key, row in sorted(rows, key=lambda item: order[item[0]]):
        table = _TABLES[name]
        own = [table.c[column] == value for column, value in key.items()]
        if row is None:
            connection.execute(delete(table).where(*own))
        elif not connection.execute(update(table).where(*own).values(row)).rowcount:
            connection.execute(insert(table), row)


def _key_of(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, column.name) for column in row.__table__.primary_key.columns)


def _object(number: int) -> str:
    return f"{CHANGES}{number:012d}.json"


def _number(key: str) -> int:
    return int(key.removeprefix(CHANGES).removesuffix(".json"))

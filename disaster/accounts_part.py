"""The accounts' database in a backup: every row of every table, as of one moment.

Rows are read by SQLAlchemy in one transaction that sees one state (SQLite's snapshot in WAL mode,
InnoDB's consistent read), while others write. So a backup of one kind of database can be restored
into the other.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData, Table, delete, func, insert, inspect, select

from accounts.database import open_database
from accounts.migration import alembic_config, migrate
from accounts.tables import MirrorPosition
from disaster.errors import DisasterError, NotEmptyError
from disaster.vault import Vault

VERSION = "alembic_version"
ROWS = 5000
"""In a blob: some megabytes before they are packed."""

Part = dict[str, Any]


def back_up(engine: Engine, vault: Vault) -> Part:
    """Copy all tables, whichever those of the database's version are.

    Raises:
        DisasterError: the database has no tables.
        SealError: there is no key; addresses and hashes of passwords are secret.
    """
    vault.require_seal("the accounts' database")
    with _one_moment(engine) as connection:
        tables = _tables(connection)
        if VERSION not in tables.tables:
            raise DisasterError("the accounts' database has no tables; nothing is backed up")
        version = connection.execute(select(tables.tables[VERSION])).scalar_one()
        return {
            "kind": engine.dialect.name,
            "version": version,
            "mirrored": _mirrored(connection, tables),
            "tables": {
                table.name: _copied(connection, table, vault)
                for table in tables.sorted_tables
                if table.name != VERSION
            },
        }


def _one_moment(engine: Engine) -> Connection:
    """A connection whose reads all see the state of the first one."""
    options: dict[str, Any] = {"read_only": True}
    if engine.dialect.name != "sqlite":
        options["isolation_level"] = "REPEATABLE READ"
    return engine.connect().execution_options(**options)


def _mirrored(connection: Connection, tables: MetaData) -> int:
    """The number up to which a mirror's transactions are in here."""
    position = tables.tables.get(MirrorPosition.__tablename__)
    return 0 if position is None else connection.execute(select(position.c.number)).scalar_one()


def _tables(connection: Connection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    return found


def _copied(connection: Connection, table: Table, vault: Vault) -> dict[str, Any]:
    query = select(table).order_by(*table.primary_key.columns)
    blobs, rows = [], 0
    with connection.execution_options(yield_per=ROWS).execute(query) as result:
        for part in result.partitions():
            rows += len(part)
            blobs.append(vault.put(_packed([list(row) for row in part]), secret=True))
    return {"columns": [c.name for c in table.columns], "rows": rows, "blobs": blobs}


def _packed(rows: list[list[Any]]) -> bytes:
    return gzip.compress("\n".join(json.dumps(row) for row in rows).encode(), mtime=0)


def restore(part: Part, vault: Vault, url: str, ca_file: Path | None = None) -> None:
    """Make the tables and fill them, whole or not at all; then bring them up to this version.

    A database that holds the backup's rows already is left as it is.

    Raises:
        NotEmptyError: the database has other rows.
        DisasterError: the backup is of a newer version of this project.
    """
    try:
        ScriptDirectory.from_config(alembic_config(url)).get_revision(part["version"])
    except CommandError:
        raise DisasterError(
            f"the backup's database is of version {part['version']}, which this project does not "
            "know: restore it with the version of the project that made it"
        ) from None
    engine = open_database(url, pool_size=1, ca_file=ca_file)
    try:
        if filled := _filled(engine):
            if _is_restored(engine, part, vault):
                return
            raise NotEmptyError(
                f"the database has rows ({', '.join(filled)}): accounts are restored where none "
                "are; name an empty one in VISION_DATABASE_URL"
            )
        migrate(url, part["version"], ca_file)
        with engine.begin() as connection:
            tables = _tables(connection)
            for table in tables.sorted_tables:
                if table.name in part["tables"]:
                    connection.execute(delete(table))  # the row that a new database begins with
                    for rows in _read(part["tables"][table.name], vault):
                        connection.execute(insert(table), rows)
    finally:
        engine.dispose()
    migrate(url, ca_file=ca_file)


def _filled(engine: Engine) -> list[str]:
    with _one_moment(engine) as connection:
        tables = _tables(connection).sorted_tables
        return [
            table.name
            for table in tables
            if table.name not in (VERSION, MirrorPosition.__tablename__)
            and connection.execute(select(func.count()).select_from(table)).scalar_one()
        ]


def _is_restored(engine: Engine, part: Part, vault: Vault) -> bool:
    with _one_moment(engine) as connection:
        tables = _tables(connection)
        for name, told in part["tables"].items():
            table = tables.tables.get(name)
            if table is None:
                return False
            query = select(*(table.c[column] for column in told["columns"]))
            there = connection.execute(query.order_by(*table.primary_key.columns)).mappings()
            wanted = (row for rows in _read(told, vault) for row in rows)
            if any(row != other for row, other in zip_longest(map(dict, there), wanted)):
                return False
    return True


def _read(table: dict[str, Any], vault: Vault) -> Iterator[list[dict[str, Any]]]:
    for blob in table["blobs"]:
        lines = gzip.decompress(vault.get(blob)).decode().splitlines()
        yield [dict(zip(table["columns"], json.loads(line), strict=True)) for line in lines]


def is_there(engine: Engine) -> bool:
    """Whether the database has the accounts' tables."""
    return bool(inspect(engine).has_table(VERSION))

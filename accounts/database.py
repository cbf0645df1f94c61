"""Connections to SQLite (one file, WAL) or to MariaDB and MySQL 8."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from accounts.clock import now_ms
from accounts.mirror import Mirror

BUSY_SECONDS = 10.0


def open_database(url: str, pool_size: int = 5, ca_file: Path | None = None) -> Engine:
    """An engine on ``sqlite:////folder/file.db`` or ``mysql+pymysql://user:password@host/name``.

    On SQLite every transaction takes the write lock when it begins: a reader that turns writer
    half-way cannot wait for the lock and would fail instead. Readers say ``read_only`` in their
    execution options and take none.

    Args:
        ca_file: certificates; with it MariaDB and MySQL are spoken to by TLS alone, and their
            certificate and name are verified.

    Raises:
        ValueError: another kind of database.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_size=pool_size, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() in ("mysql", "mariadb"):
        return create_engine(
            parsed.update_query_dict({"charset": "utf8mb4"}),
            pool_size=pool_size,
            pool_pre_ping=True,
            pool_recycle=1800,
            # Two transactions that look for different new rows must not lock each other's gaps.
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": 5,
                "read_timeout": 30,
                "write_timeout": 30,
                **({"ssl": {"ca": str(ca_file), "check_hostname": True}} if ca_file else {}),
            },
        )
    raise ValueError(f"{parsed.get_backend_name()} is none of sqlite, mysql, mariadb")


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # The driver's own transactions begin late; ours begin in _begin_sqlite.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Any) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def back_up(engine: Engine, file: Path) -> None:
    """Copy an SQLite database as it is at one moment, while others read and write.

    Raises:
        ValueError: it is no SQLite, or ``file`` exists.
    """
    if engine.dialect.name != "sqlite":
        raise ValueError("this copies SQLite; MariaDB and MySQL have mariadb-dump")
    if file.exists():
        raise ValueError(f"{file} exists")
    raw = engine.raw_connection()
    try:
        source = raw.driver_connection
        assert isinstance(source, sqlite3.Connection)
        with contextlib.closing(sqlite3.connect(file)) as copy:
            source.backup(copy)
    finally:
        raw.close()


def database_now_ms(session: Session) -> int:
    """The database's clock. SQLite has none but this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return now_ms()
    seconds = session.execute(text("SELECT UNIX_TIMESTAMP(NOW(3))")).scalar_one()
    return int(seconds * 1000)


class Database:
    """Sessions that read and sessions that write, from one engine.

    Args:
        mirror: has what is written before ``write`` ends.
    """

    def __init__(self, engine: Engine, mirror: Mirror | None = None) -> None:
        self._engine = engine
        self._mirror = mirror
        self._writers = sessionmaker(engine)
        self._readers = sessionmaker(engine.execution_options(read_only=True))

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """Nothing that is done in it is kept."""
        with self._readers() as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """Committed at the end, rolled back by an exception.

        Raises:
            MirrorError: committed, but the mirror cannot be written.
        """
        with self._writers() as session:
            if self._mirror is None:
                yield session
                session.commit()
                return
            with self._mirror.watching(session) as changed:
                yield session
                session.flush()
            if changed:
                self._mirror.note(session.connection(), changed)
            session.commit()
        if changed:
            self._mirror.write(self._engine)

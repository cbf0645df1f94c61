"""A MariaDB server for tests; skips where the package is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from disaster import mariadb
from disaster.mariadb import MariaDb
from tests.needs import missing


@contextlib.contextmanager
def running(folder: Path, options: tuple[str, ...] = ()) -> Iterator[MariaDb]:
    """A server under ``folder``."""
    program = mariadb.find_program()
    if program is None:
        missing("mariadb", "mariadb-server is not installed")
    with mariadb.running(program, folder, options) as server:
        yield server

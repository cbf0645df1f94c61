"""A ledger on a database, and people with keys."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine

from accounts.clock import now_ms
from edge.directory import Directory
from edge.ledger import Ledger
from edge.records import Intent, Outcome
from tests.accounts.conftest import (  # noqa: F401
    account,
    engine,
    mariadb,
    mariadb_tables,
    migrated_url,
    session,
    sqlite_template,
)

attempts = itertools.count(1)
CONTENT, OTHER_CONTENT = "a" * 64, "b" * 64


@pytest.fixture
async def ledger(engine: Engine) -> AsyncIterator[Ledger]:  # noqa: F811
    ledger = Ledger(engine)
    ledger.start()
    yield ledger
    ledger.stop()


@pytest.fixture
def directory(ledger: Ledger) -> Directory:
    return Directory(ledger)


def intent(request_id: str = "r1", **changes: object) -> Intent:
    values: dict[str, object] = {
        "account_id": "acc_1",
        "request_id": request_id,
        "attempt_id": next(attempts),
        "key_id": "key_1",
        "model": "mnist",
        "request_bytes": 500,
        "started_ms": now_ms(),
        "family": "key_1",
    }
    return Intent(**{**values, **changes})  # type: ignore[arg-type]


def outcome(request_id: str = "r1", **changes: object) -> Outcome:
    values: dict[str, object] = {
        "account_id": "acc_1",
        "request_id": request_id,
        "key_id": "key_1",
        "family": "key_1",
        "model": "mnist",
        "revision": "1",
        "status": 200,
        "billed": True,
        "instances": 2,
        "pixels": 1568,
        "request_bytes": 500,
        "response_bytes": 90,
        "milliseconds": 7,
        "content": CONTENT,
    }
    return Outcome(**{**values, **changes})  # type: ignore[arg-type]

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from accounts.database import Database, open_database
from accounts.events import reconcile
from accounts.migration import migrate
from accounts.tables import Account, Base, Event
from disaster import accounts_part
from disaster.errors import DisasterError, NotEmptyError, SealError
from disaster.mariadb import MariaDb
from disaster.vault import Vault
from edge.ledger import Ledger
from tests.accounts.conftest import add_account
from tests.edge.conftest import intent, outcome


async def bill(engine: Engine, names: range) -> None:
    ledger = Ledger(engine)
    ledger.start()
    for name in names:
        await ledger.admit(intent(f"r{name}"))
        await ledger.complete(outcome(f"r{name}"))
    ledger.stop()


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table)).all()))
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture
def empty(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the other kind."""
    if url.startswith("mysql"):
        return f"sqlite:///{tmp_path}/restored.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.url()


async def test_one_moment_is_restored_into_the_other_kind(
    url: str, empty: str, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(url)
    engine = open_database(url)
    with Database(engine).write() as session:
        add_account(session, "zoë\u2028@example.org")
    await bill(engine, range(5))
    monkeypatch.setattr(accounts_part, "ROWS", 2)
    before, seen = rows(engine), []
    put = vault.put

    def writing(data: bytes, secret: bool = False) -> str:
        # Somebody registers, before the table of accounts is read too.
        seen.append(secret)
        with Database(engine).write() as session:
            add_account(session, f"{len(seen)}@example.org")
        return put(data, secret)

    vault.put = writing  # type: ignore[method-assign]
    part = accounts_part.back_up(engine, vault)
    assert all(seen)
    assert len(seen) >= 5
    engine.dispose()
    accounts_part.restore(json.loads(json.dumps(part)), vault, empty)
    accounts_part.restore(part, vault, empty)  # again, it changes nothing
    restored = open_database(empty)
    assert rows(restored) == before
    with Database(restored).read() as session:
        assert (reconcile(session).billed, reconcile(session).difference) == (5, 0)
    await bill(restored, range(5, 6))
    restored.dispose()


async def test_a_database_with_other_rows_is_left(tmp_path: Path, vault: Vault) -> None:
    url, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b"))
    engines = []
    for name, place in enumerate((url, other)):
        migrate(place)
        engines.append(open_database(place))
        await bill(engines[-1], range(name, name + 2))
    part = accounts_part.back_up(engines[0], vault)
    with pytest.raises(NotEmptyError, match="the database has rows"):
        accounts_part.restore(part, vault, other)
    with Database(engines[1]).read() as session:
        assert set(session.scalars(select(Event.request_id))) == {"r1", "r2"}
    for engine in engines:
        engine.dispose()


def test_a_restore_that_fails_leaves_nothing(tmp_path: Path, vault: Vault) -> None:
    url, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b"))
    migrate(url)
    engine = open_database(url)
    with Database(engine).write() as session:
        add_account(session)
    part = accounts_part.back_up(engine, vault)
    engine.dispose()
    broken = json.loads(json.dumps(part))
    broken["tables"]["usage_hours"]["blobs"] = ["sealed:" + "0" * 64]
    with pytest.raises(DisasterError, match="is missing"):
        accounts_part.restore(broken, vault, other)
    accounts_part.restore(part, vault, other)
    restored = open_database(other)
    with Database(restored).read() as session:
        assert session.scalars(select(Account.email)).all() == ["ada@example.org"]
    restored.dispose()


def test_an_older_backup_is_brought_up_and_a_newer_one_is_not_guessed_at(
    tmp_path: Path, vault: Vault
) -> None:
    url, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b"))
    migrate(url, "0003")
    engine = open_database(url)
    part = accounts_part.back_up(engine, vault)
    engine.dispose()
    assert part["version"] == "0003"
    accounts_part.restore(part, vault, other)
    restored = open_database(other)
    assert set(rows(restored)) >= {"accounts", "invoices"}  # every table of this version
    restored.dispose()
    with pytest.raises(DisasterError, match="of version 9999, which this project does not know"):
        accounts_part.restore({**part, "version": "9999"}, vault, f"sqlite:///{tmp_path}/c.db")


def test_without_a_key_nothing_is_written(tmp_path: Path, vault: Vault) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(url)
    engine = open_database(url)
    with pytest.raises(SealError, match="vision backup key"):
        accounts_part.back_up(engine, Vault(vault.store))
    engine.dispose()
    assert not list(vault.store.keys("blobs/"))

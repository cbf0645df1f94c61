"""Who was answered is in the mirror, whatever happens to the database after that."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.database import Database, open_database
from accounts.events import reconcile
from accounts.migration import migrate
from accounts.mirror import MIRRORED, Mirror, MirrorError, bring_up, forget
from accounts.secret_tokens import new_id
from accounts.tables import Account, ApiKey, Event, UsageHour
from edge.ledger import Ledger, LedgerDownError
from edge.records import Completed
from registry.errors import StoreError
from registry.folder import FolderStore
from tests.edge.conftest import intent, outcome


def register(session: Session) -> str:
    """An account's id."""
    account = Account(id=new_id("acc"), email="ada@example.org", role="user", created_ms=now_ms())
    session.add(account)
    return account.id


class Failing(FolderStore):
    """Does not answer while ``down``."""

    down = False

    def create(self, key: str, data: bytes) -> None:
        if self.down:
            raise StoreError("no route to host")
        super().create(key, data)


@pytest.fixture
def place(tmp_path: Path) -> Failing:
    made = Failing(tmp_path / "mirror")
    made.set_up()
    return made


@pytest.fixture
def emptied(tmp_path: Path) -> Engine:
    """A database as a backup of an empty one leaves it."""
    url = f"sqlite:///{tmp_path}/emptied.db"
    migrate(url)
    return open_database(url)


def rows(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            kind.__tablename__: sorted(map(tuple, connection.execute(select(kind.__table__)).all()))
            for kind in MIRRORED
        }


async def bill(engine: Engine, mirror: Mirror | None, *names: str) -> list[Completed]:
    ledger = Ledger(engine, mirror=mirror)
    ledger.start()
    try:
        for name in names:
            await ledger.admit(intent(name))
        return [await ledger.complete(outcome(name)) for name in names]
    finally:
        ledger.stop()


async def test_everything_since_the_backup_comes_back(
    engine: Engine, emptied: Engine, place: Failing
) -> None:
    mirror = Mirror(place)
    database = Database(engine, mirror)
    with database.write() as session:
        account = register(session)
        gone = ApiKey(id="k2", account_id=account, family="k2", name="n", hash="h", hint="h")
        gone.scopes, gone.rate_per_second, gone.created_ms = "*", 1, now_ms()
        session.add(gone)
    await bill(engine, mirror, "r1", "r2")
    await bill(engine, mirror, "r1")  # answered again, not billed again
    with database.write() as session:
        session.delete(session.get_one(ApiKey, "k2"))
        session.get_one(Account, account).role = "operator"
    assert bring_up(emptied, place) == len(list(place.keys("changes/"))) > 3
    # Intents alone are not there: nobody has had an answer.
    assert rows(emptied) == rows(engine)
    with Database(emptied).read() as session:
        assert (reconcile(session).billed, reconcile(session).difference) == (2, 0)
    assert bring_up(emptied, place) == 0
    # And from here on the numbers go on.
    await bill(emptied, Mirror(place), "r3")
    assert len(rows(emptied)["events"]) == 3
    emptied.dispose()


async def test_without_the_mirror_nobody_is_answered_and_nothing_is_lost(
    engine: Engine, emptied: Engine, place: Failing
) -> None:
    mirror = Mirror(place)
    await bill(engine, mirror, "r1")
    place.down = True
    with pytest.raises(LedgerDownError):
        await bill(engine, mirror, "r2")
    with (
        pytest.raises(MirrorError, match="no route to host"),
        Database(engine, mirror).write() as session,
    ):
        register(session)
    place.down = False
    # Another process, which has never heard of it: the client asks again under the same id.
    assert await bill(engine, Mirror(place), "r2") == [Completed.REPEATED]
    bring_up(emptied, place)
    assert rows(emptied) == rows(engine)
    with Database(emptied).read() as session:
        assert (reconcile(session).billed, reconcile(session).difference) == (2, 0)
        assert session.scalars(select(UsageHour.requests)).all() == [2]
    emptied.dispose()


async def test_what_a_killed_process_left_is_written_by_the_next(
    engine: Engine, emptied: Engine, place: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit and the mirror."""
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "write", lambda *_: None)
        await bill(engine, Mirror(place), "r1")
    assert not list(place.keys("changes/"))
    await bill(engine, Mirror(place), "r2")
    assert bring_up(emptied, place) == 2
    assert rows(emptied) == rows(engine)
    emptied.dispose()


def test_of_writers_at_once_the_last_change_is_the_one_that_comes_back(
    engine: Engine, emptied: Engine, place: Failing
) -> None:
    with Database(engine, Mirror(place)).write() as session:
        account = register(session)

    def write(number: int) -> None:
        database = Database(engine, Mirror(place))  # as a process of its own has it
        for round_ in range(5):
            with database.write() as session:
                found = session.get_one(Account, account, with_for_update=True)
                found.verified_ms = (found.verified_ms or 0) + 1
                found.email = f"{number}-{round_}@example.org"

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bring_up(emptied, place) == 21
    assert rows(emptied) == rows(engine)
    emptied.dispose()


async def test_a_mirror_that_is_not_this_databases_is_refused(
    tmp_path: Path, engine: Engine, emptied: Engine, place: Failing
) -> None:
    await bill(engine, Mirror(place), "r1", "r2", "r3")
    with pytest.raises(LedgerDownError):
        await bill(emptied, Mirror(place), "x")
    with pytest.raises(MirrorError, match="the mirror of another database"):
        Mirror(place).write(emptied)
    place.delete("changes/000000000002.json")
    again = open_database(f"sqlite:///{tmp_path}/again.db")
    migrate(f"sqlite:///{tmp_path}/again.db")
    with pytest.raises(MirrorError, match=r"changes/000000000002\.json is missing"):
        bring_up(again, place)
    assert rows(again)["events"] == []
    forget(place, 3)
    assert not list(place.keys("changes/"))
    again.dispose()
    emptied.dispose()


async def test_without_one_nothing_is_kept_for_it(engine: Engine) -> None:
    await bill(engine, None, "r1")
    with engine.connect() as connection:
        assert connection.execute(select(Event.state)).scalar_one() == "billed"
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM unmirrored").scalar_one() == 0

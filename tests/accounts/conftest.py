"""Databases and people."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.database import Database, open_database
from accounts.migration import migrate
from accounts.outbox import Outbox
from accounts.owed_mail import MailWriter
from accounts.passwords import Passwords
from accounts.people import People
from accounts.secret_tokens import new_id
from accounts.settings import AccountsSettings
from accounts.tables import Account, Base, MirrorPosition
from common.mail import Mail
from disaster.mariadb import MariaDb
from tests.accounts.mariadb import running


class Mailbox:
    """A mailer that keeps what it is given, and has what is owed sent before it is looked at."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self._mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        self._mails.append(mail)

    @property
    def mails(self) -> list[Mail]:
        assert self.outbox is not None
        self.outbox.send_due()
        return self._mails

    def token(self) -> str:
        """Of the link in the last mail."""
        return self.mails[-1].text.split("token=")[1].split()[0]


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    with running(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/accounts.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.url()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mariadb_tables(mariadb: MariaDb) -> str:
    """A MariaDB database with the tables."""
    url = mariadb.url()
    migrate(url)
    return url


@pytest.fixture(params=["sqlite", "mariadb"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind with its tables, and nothing in them."""
    if request.param == "sqlite":
        path = tmp_path / "accounts.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("mariadb_tables")
    engine = open_database(url)
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(insert(MirrorPosition), {"id": 1, "number": 0})  # as the migration does
    engine.dispose()
    return url


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    engine = open_database(migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    # Takes no lock until it writes: what is tested writes too.
    with Session(engine.execution_options(read_only=True)) as session:
        yield session


@pytest.fixture
def database(engine: Engine) -> Database:
    return Database(engine)


@pytest.fixture
def settings() -> AccountsSettings:
    return AccountsSettings(
        development=True,
        login_attempts=3,
        client_login_attempts=6,
        account_login_attempts=8,
        registration_attempts=6,
    )


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def people(settings: AccountsSettings, database: Database, mailbox: Mailbox) -> People:
    mailbox.outbox = Outbox(database, mailbox, MailWriter(settings))
    return People(settings, database, Passwords(), mailbox.outbox)


@pytest.fixture
def account(session: Session) -> Account:
    return add_account(session)


def add_account(session: Session, email: str = "ada@example.org", role: str = "user") -> Account:
    """A verified account without a password, committed."""
    account = Account(
        id=new_id("acc"), email=email, role=role, created_ms=now_ms(), verified_ms=now_ms()
    )
    session.add(account)
    session.commit()
    return account

"""Domains are looked after beside each other: a slow one holds nobody else up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import update

from accounts import domains
from accounts.database import Database, open_database
from accounts.domains import ACTIVE, PENDING, DomainView
from accounts.migration import migrate
from accounts.tables import Domain
from edge.domains import AT_ONCE, OF_AN_ACCOUNT, Nothing, Reconciler
from edge.proof import Prover
from tests.accounts.conftest import add_account
from tests.waiting import wait_until

SECONDS = 30.0
SLOW = "slow"


class SlowProver:
    """Takes its time for names that begin with ``slow``; the others are proven at once.

    Attributes:
        seen: what was looked for at once, at each time that something was begun.
    """

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.seen: list[list[DomainView]] = []
        self._now: list[DomainView] = []
        self._lock = threading.Lock()

    def problem(self, domain: DomainView) -> str:
        if not domain.name.startswith(SLOW):
            return ""
        with self._lock:
            self._now.append(domain)
            self.seen.append(list(self._now))
        self.go_on.wait(SECONDS)
        with self._lock:
            self._now.remove(domain)
        return "its server is slow"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/accounts.db"
    migrate(url)
    engine = open_database(url)
    yield Database(engine)
    engine.dispose()


@pytest.fixture
def prover(database: Database) -> Iterator[SlowProver]:
    """Asked by a reconciler that runs."""
    prover, ended = SlowProver(), threading.Event()
    reconciler = Reconciler(database, cast(Prover, prover), Nothing())
    thread = threading.Thread(target=reconciler.run, args=(ended,))
    thread.start()
    yield prover
    ended.set()
    prover.go_on.set()
    thread.join(SECONDS)
    assert not thread.is_alive()


def ask_for(database: Database, email: str, *names: str) -> str:
    """The account, whose domains are due."""
    with database.write() as session:
        account = add_account(session, email)
        for name in names:
            domains.add(session, account.id, name, "vision.example")
        session.execute(update(Domain).where(Domain.name.in_(names)).values(due_ms=0))
        return account.id


def states(database: Database, account: str) -> dict[str, str]:
    with database.read() as session:
        return {view.name: view.state for view in domains.listed(session, account)}


def test_a_slow_domain_holds_up_no_other_of_its_customer(
    database: Database, prover: SlowProver
) -> None:
    account = ask_for(database, "ada@example.org", "slow.example.org", "quick.example.org")
    wait_until(lambda: states(database, account)["quick.example.org"] == ACTIVE, SECONDS)
    assert states(database, account)["slow.example.org"] == PENDING
    assert len(prover.seen) == 1


def test_a_customer_with_slow_domains_leaves_room_for_others(
    database: Database, prover: SlowProver
) -> None:
    slow = [f"slow{number}.example.org" for number in range(domains.MAX_DOMAINS)]
    ask_for(database, "ada@example.org", *slow)
    wait_until(lambda: len(prover.seen) == OF_AN_ACCOUNT, SECONDS)
    other = ask_for(database, "bob@example.org", "quick.example.org")
    wait_until(lambda: states(database, other)["quick.example.org"] == ACTIVE, SECONDS)
    assert len(prover.seen) == OF_AN_ACCOUNT
    # As soon as one ends the next begins.
    prover.go_on.set()
    wait_until(lambda: len(prover.seen) >= len(slow), SECONDS)
    assert {view.name for seen in prover.seen for view in seen} == set(slow)
    assert max(len(seen) for seen in prover.seen) <= OF_AN_ACCOUNT


def test_there_is_a_bound_of_all_and_one_step_of_a_name(
    database: Database, prover: SlowProver
) -> None:
    for number in range(AT_ONCE // OF_AN_ACCOUNT + 2):
        own = (f"slow{number}{letter}.example.org" for letter in "abcd")
        ask_for(database, f"a{number}@example.org", "slow.example.org", *own)
    wait_until(lambda: len(prover.seen) == AT_ONCE, SECONDS)
    prover.go_on.set()
    wait_until(lambda: len(prover.seen) > AT_ONCE, SECONDS)
    assert max(len(seen) for seen in prover.seen) == AT_ONCE
    assert all(max(Counter(v.name for v in seen).values()) == 1 for seen in prover.seen)

"""Several replicas of check and meter on one database: what one may do, all of them may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from accounts.events import reconcile
from accounts.tables import Account, Event
from edge.directory import Directory
from edge.ledger import Ledger
from edge.rate import LEASES_A_SECOND
from edge.records import Admitted
from tests.edge.conftest import intent, outcome
from tests.edge.test_check import Edge, key_of

REPLICAS = 3


@pytest.fixture
async def ledgers(engine: Engine) -> AsyncIterator[list[Ledger]]:
    found = [Ledger(engine) for _ in range(REPLICAS)]
    for ledger in found:
        ledger.start()
    yield found
    for ledger in found:
        ledger.stop()


@pytest.fixture
def replicas(ledgers: list[Ledger]) -> list[Edge]:
    return [Edge(Directory(ledger), ledger) for ledger in ledgers]


async def at_once(replicas: list[Edge], key: str, count: int, **arguments: str):
    """The answers to so many requests, shared out among the replicas."""
    asked = (replicas[n % REPLICAS].ask(key, f"r{n}", **arguments) for n in range(count))
    answers = await asyncio.gather(*asked)
    return [a for a in answers if a.HasField("ok_response")]


async def test_a_quota_is_exact_whichever_replica_is_asked(
    replicas: list[Edge], session: Session, account: Account
) -> None:
    key = key_of(session, account, quota_requests=7, rate_per_second=1000)
    through = await at_once(replicas, key.key, 30)
    assert len(through) == 7
    for number, answer in enumerate(through):
        await replicas[number % REPLICAS].end(answer, "503" if number == 0 else "200")
    said = [await replica.status(key.key, "more") for replica in replicas]
    # One had failed; its place is taken, and kept by every attempt under that id.
    assert said == [200, 200, 200]
    assert await replicas[1].status(key.key, "others") == 429
    session.rollback()
    assert reconcile(session).billed == 6


async def test_a_share_is_of_all_replicas_but_for_a_slack(
    replicas: list[Edge], session: Session, account: Account
) -> None:
    for replica in replicas:
        replica.in_flight.max_per_account = 20
    key = key_of(session, account, rate_per_second=1000)
    # One after the other: what is under way at another replica is on record.
    said = [await replicas[n % REPLICAS].status(key.key, f"r{n}") for n in range(40)]
    assert 20 <= said.count(200) <= 20 + REPLICAS - 1
    assert await replicas[0].status(key.key, "r0") == 200, "another attempt takes no place"


async def test_a_rate_is_of_all_replicas_but_for_a_slack(
    replicas: list[Edge], session: Session, account: Account
) -> None:
    rate = 50
    key = key_of(session, account, rate_per_second=rate)
    loop = asyncio.get_running_loop()
    began = loop.time()
    through = 0
    while loop.time() - began < 1.5:
        answers = await at_once(
            replicas, key.key, 3 * REPLICAS, path="/v1/models/mnist", method="GET"
        )
        through += len(answers)
        for answer in answers:
            for replica in replicas:
                await replica.log(answer, 200)
        await asyncio.sleep(0.01)
    seconds = loop.time() - began
    # A second's worth at once, then the rate; a busy machine may not have asked for all of it, and
    # of what came at once replicas may hold a part that nobody asked them for.
    held = 2 * REPLICAS * (rate // LEASES_A_SECOND)
    assert rate - held <= through <= rate * (seconds + 1) + 1


async def test_one_id_at_all_replicas_at_once_is_one_event(
    ledgers: list[Ledger], session: Session
) -> None:
    """Transactions that want the same rows in different orders are repeated, not refused."""
    for turn in range(10):
        names = [f"{turn}-{number}" for number in range(12)]
        asked = [
            ledger.admit(intent(name))
            for place, ledger in enumerate(ledgers)
            for name in (names if place % 2 else reversed(names))
        ]
        found = await asyncio.gather(*asked)
        assert {a.admitted for a in found} == {Admitted.NEW, Admitted.REPEATED}
        done = [
            ledger.complete(outcome(name))
            for place, ledger in enumerate(ledgers)
            for name in (names if place % 2 else reversed(names))
        ]
        await asyncio.gather(*done)
    events = session.scalars(select(Event)).all()
    assert len(events) == 120
    assert {event.state for event in events} == {"billed"}
    assert reconcile(session).agrees

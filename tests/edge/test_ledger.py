import asyncio

import pytest
from sqlalchemy import select, text

from accounts.clock import now_ms
from accounts.events import reconcile
from accounts.tables import Event, QuotaMonth, UsageHour
from edge.ledger import Admitted, Ledger, LedgerDown, RepeatRule
from tests.edge.conftest import intent, outcome


async def test_an_intent_is_recorded_before_it_is_admitted(ledger, session):
    assert await ledger.admit(intent()) is Admitted.NEW
    event = session.scalars(select(Event)).one()
    assert (event.state, event.status, event.completed_ms) == ("intent", 0, None)


async def test_an_answer_is_billed_once_with_its_window_and_its_quota(ledger, session):
    await ledger.admit(intent())
    assert await ledger.complete(outcome())
    assert await ledger.admit(intent()) is Admitted.BILLED_BEFORE
    assert not await ledger.complete(outcome())
    event = session.scalars(select(Event)).one()
    assert (event.state, event.revision, event.instances, event.attempts) == ("billed", "1", 2, 2)
    window = session.scalars(select(UsageHour)).one()
    assert (window.requests, window.instances, window.pixels) == (1, 2, 1568)
    assert session.scalars(select(QuotaMonth)).one().requests == 1
    assert reconcile(session).difference == 0


async def test_a_failure_is_not_billed_and_its_repeat_is(ledger, session):
    await ledger.admit(intent())
    assert not await ledger.complete(outcome(billed=False, status=503, instances=0, pixels=0))
    assert await ledger.admit(intent()) is Admitted.REPEATED
    assert session.scalars(select(Event)).one().state == "intent"
    session.rollback()
    assert await ledger.complete(outcome())
    assert {(w.requests, w.failures) for w in session.scalars(select(UsageHour))} == {(1, 1)}


async def test_a_late_failure_does_not_undo_a_bill(ledger, session):
    await ledger.admit(intent())
    await ledger.admit(intent())
    await ledger.complete(outcome())
    assert not await ledger.complete(outcome(billed=False, status=504))
    assert session.scalars(select(Event)).one().state == "billed"
    assert reconcile(session).difference == 0


async def test_answers_and_intents_of_one_moment_share_a_transaction(ledger, session):
    names = [f"r{n}" for n in range(200)]
    assert set(await asyncio.gather(*(ledger.admit(intent(n)) for n in names))) == {Admitted.NEW}
    billed = await asyncio.gather(*(ledger.complete(outcome(n)) for n in [*names, *names]))
    assert sum(billed) == 200
    found = reconcile(session)
    assert (found.recorded, found.billed, found.in_windows, found.difference) == (200, 200, 200, 0)


async def test_the_same_id_twice_at_once_is_one_event(ledger, session):
    admitted = await asyncio.gather(*(ledger.admit(intent()) for _ in range(3)))
    assert sorted(a.value for a in admitted) == ["new", "repeated", "repeated"]
    assert sum(await asyncio.gather(*(ledger.complete(outcome()) for _ in range(3)))) == 1


@pytest.mark.parametrize("changes", [{"model": "fashion-mnist"}, {"request_bytes": 501}])
async def test_an_id_is_not_used_for_another_request(ledger, changes):
    await ledger.admit(intent())
    assert await ledger.admit(intent(**changes)) is Admitted.REUSED


async def test_two_accounts_may_use_the_same_id(ledger):
    await ledger.admit(intent())
    assert await ledger.admit(intent(account_id="acc_2")) is Admitted.NEW
    assert await ledger.admit(intent(request_id="R1")) is Admitted.NEW


async def test_a_billed_id_is_not_answered_for_ever(engine):
    ledger = Ledger(engine, RepeatRule(answers=2, seconds=60))
    ledger.start()
    await ledger.admit(intent())
    await ledger.complete(outcome())
    for _ in range(5):
        assert await ledger.admit(intent()) is Admitted.BILLED_BEFORE
        await ledger.complete(outcome(billed=False, status=503))
    await ledger.complete(outcome())
    assert await ledger.admit(intent()) is Admitted.REUSED
    await ledger.admit(intent("r2"))
    await ledger.complete(outcome("r2"))
    late = intent("r2", started_ms=now_ms() + 61_000)
    assert await ledger.admit(late) is Admitted.REUSED
    ledger.stop()


async def test_without_room_only_what_was_billed_is_repeated(ledger, session):
    await ledger.admit(intent("billed"))
    await ledger.complete(outcome("billed"))
    await ledger.admit(intent("failed"))
    await ledger.complete(outcome("failed", billed=False, status=503))
    assert await ledger.admit(intent("new", room=False)) is Admitted.NO_ROOM
    assert await ledger.admit(intent("failed", room=False)) is Admitted.NO_ROOM
    assert await ledger.admit(intent("billed", room=False)) is Admitted.BILLED_BEFORE
    assert set(session.scalars(select(Event.request_id))) == {"billed", "failed"}


async def test_an_answer_without_an_intent_is_refused(ledger, session):
    with pytest.raises(LedgerDown):
        await ledger.complete(outcome())
    assert await ledger.admit(intent()) is Admitted.NEW


async def test_a_broken_database_fails_closed_and_comes_back(ledger, engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO gone"))
    with pytest.raises(LedgerDown):
        await ledger.admit(intent())
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO events"))
    assert await ledger.admit(intent()) is Admitted.NEW

import asyncio

import pytest
from sqlalchemy import select, text

from accounts.clock import now_ms
from accounts.events import reconcile
from accounts.tables import Event, QuotaMonth, UsageHour
from edge.ledger import Ledger, LedgerDownError
from edge.records import Admission, Admitted, Completed, RepeatRule
from tests.edge.conftest import CONTENT, OTHER_CONTENT, intent, outcome

BILLED, REPEATED, FAILED, WITHHELD = (
    Completed.BILLED,
    Completed.REPEATED,
    Completed.FAILED,
    Completed.WITHHELD,
)


async def admitted(ledger, *arguments, **changes):
    return (await ledger.admit(intent(*arguments, **changes))).admitted


async def test_an_intent_is_recorded_before_it_is_admitted(ledger, session):
    assert await admitted(ledger) is Admitted.NEW
    event = session.scalars(select(Event)).one()
    assert (event.state, event.status, event.completed_ms) == ("intent", 0, None)


async def test_an_answer_is_billed_once_with_its_window_and_its_quota(ledger, session):
    await ledger.admit(intent())
    assert await ledger.complete(outcome()) is BILLED
    assert await admitted(ledger) is Admitted.BILLED_BEFORE
    assert await ledger.complete(outcome(reserved=True)) is REPEATED
    event = session.scalars(select(Event)).one()
    assert (event.state, event.revision, event.instances, event.attempts) == ("billed", "1", 2, 2)
    window = session.scalars(select(UsageHour)).one()
    assert (window.requests, window.instances, window.pixels) == (1, 2, 1568)
    assert session.scalars(select(QuotaMonth)).one().requests == 1
    assert reconcile(session).difference == 0


async def test_a_failure_is_not_billed_and_its_repeat_is(ledger, session):
    await ledger.admit(intent())
    assert await ledger.complete(outcome(billed=False, status=503)) is FAILED
    assert await admitted(ledger) is Admitted.REPEATED
    assert session.scalars(select(Event)).one().state == "intent"
    session.rollback()
    assert await ledger.complete(outcome()) is BILLED
    assert {(w.requests, w.failures) for w in session.scalars(select(UsageHour))} == {(1, 1)}


async def test_a_late_failure_does_not_undo_a_bill(ledger, session):
    await ledger.admit(intent())
    await ledger.admit(intent())
    await ledger.complete(outcome())
    assert await ledger.complete(outcome(billed=False, status=504)) is FAILED
    assert session.scalars(select(Event)).one().state == "billed"
    assert reconcile(session).difference == 0


async def test_answers_and_intents_of_one_moment_share_a_transaction(ledger, session):
    names = [f"r{n}" for n in range(200)]
    said = await asyncio.gather(*(ledger.admit(intent(n)) for n in names))
    assert set(said) == {Admission(Admitted.NEW)}
    done = await asyncio.gather(*(ledger.complete(outcome(n)) for n in [*names, *names]))
    assert (done.count(BILLED), done.count(REPEATED)) == (200, 200)
    found = reconcile(session)
    assert (found.recorded, found.billed, found.in_windows, found.difference) == (200, 200, 200, 0)


async def test_the_same_id_twice_at_once_is_one_event(ledger, session):
    said = await asyncio.gather(*(ledger.admit(intent()) for _ in range(3)))
    assert sorted(a.admitted.value for a in said) == ["new", "repeated", "repeated"]
    done = await asyncio.gather(*(ledger.complete(outcome()) for _ in range(3)))
    assert sorted(d.value for d in done) == ["billed", "repeated", "repeated"]


@pytest.mark.parametrize("changes", [{"model": "fashion-mnist"}, {"request_bytes": 501}])
async def test_an_id_is_not_used_for_another_request(ledger, changes):
    await ledger.admit(intent())
    assert await admitted(ledger, **changes) is Admitted.REUSED


async def test_two_accounts_may_use_the_same_id(ledger):
    await ledger.admit(intent())
    assert await admitted(ledger, account_id="acc_2") is Admitted.NEW
    assert await admitted(ledger, request_id="R1") is Admitted.NEW


async def test_a_billed_id_is_not_answered_for_ever(engine):
    ledger = Ledger(engine, RepeatRule(answers=2, seconds=60))
    ledger.start()
    await ledger.admit(intent())
    await ledger.complete(outcome())
    for _ in range(5):
        assert await admitted(ledger) is Admitted.BILLED_BEFORE
        await ledger.complete(outcome(billed=False, status=503, reserved=True))
    assert await admitted(ledger) is Admitted.BILLED_BEFORE
    # One is being given, and nobody knows yet how it ends.
    assert await admitted(ledger) is Admitted.REUSED
    assert await ledger.complete(outcome(reserved=True)) is REPEATED
    assert await admitted(ledger) is Admitted.REUSED
    await ledger.admit(intent("r2"))
    await ledger.complete(outcome("r2"))
    assert await admitted(ledger, "r2", started_ms=now_ms() + 61_000) is Admitted.REUSED
    ledger.stop()


async def test_without_room_only_what_was_billed_is_repeated(ledger, session):
    await ledger.admit(intent("billed"))
    await ledger.complete(outcome("billed"))
    await ledger.admit(intent("failed"))
    await ledger.complete(outcome("failed", billed=False, status=503))
    assert await admitted(ledger, "new", quota=1) is Admitted.NO_ROOM
    assert await admitted(ledger, "failed", quota=1) is Admitted.NO_ROOM
    assert await admitted(ledger, "billed", quota=1) is Admitted.BILLED_BEFORE
    assert set(session.scalars(select(Event.request_id))) == {"billed", "failed"}


async def test_an_answer_without_an_intent_is_refused(ledger, session):
    with pytest.raises(LedgerDownError):
        await ledger.complete(outcome())
    assert await admitted(ledger) is Admitted.NEW


async def test_a_broken_database_fails_closed_and_comes_back(ledger, engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO gone"))
    with pytest.raises(LedgerDownError):
        await ledger.admit(intent())
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO events"))
    assert await admitted(ledger) is Admitted.NEW


async def test_repeats_are_counted_when_they_are_admitted(ledger, session):
    await ledger.admit(intent())
    await ledger.complete(outcome())
    said = await asyncio.gather(*(ledger.admit(intent()) for _ in range(100)))
    kinds = [a.admitted for a in said]
    assert (kinds.count(Admitted.BILLED_BEFORE), kinds.count(Admitted.REUSED)) == (9, 91)
    assert {a.content for a in said} == {CONTENT}
    assert session.scalars(select(Event)).one().answers == 10


async def test_other_content_under_a_used_id_does_not_leave(ledger, session):
    for _ in range(3):
        await ledger.admit(intent())
    done = [
        await ledger.complete(outcome(content=OTHER_CONTENT)),
        await ledger.complete(outcome(instances=40)),
        await ledger.complete(outcome(content=OTHER_CONTENT)),
    ]
    assert done == [BILLED, WITHHELD, REPEATED]
    event = session.scalars(select(Event)).one()
    assert (event.content, event.answers, event.withheld) == (OTHER_CONTENT, 2, 1)
    assert (event.state, event.instances, event.status) == ("billed", 2, 200)
    found = reconcile(session)
    assert (found.withheld, found.difference, found.instance_difference) == (1, 0, 0)


async def test_without_a_reservation_no_more_answers_leave_than_with_one(ledger, session):
    said = await asyncio.gather(*(ledger.admit(intent()) for _ in range(40)))
    assert len(said) == 40
    done = await asyncio.gather(*(ledger.complete(outcome()) for _ in range(40)))
    assert [done.count(kind) for kind in (BILLED, REPEATED, WITHHELD)] == [1, 9, 30]
    assert session.scalars(select(Event)).one().answers == 10


async def test_a_failure_keeps_the_id_for_its_content(ledger, session):
    await ledger.admit(intent())
    await ledger.complete(outcome(billed=False, status=400))
    assert await ledger.admit(intent()) == Admission(Admitted.REPEATED, CONTENT)
    assert await ledger.complete(outcome(content=OTHER_CONTENT)) is WITHHELD
    event = session.scalars(select(Event)).one()
    assert (event.state, event.status, event.content) == ("failed", 409, CONTENT)


async def test_two_bodies_of_unknown_length_may_be_the_same(ledger):
    await ledger.admit(intent(request_bytes=-1))
    assert await admitted(ledger, request_bytes=500) is Admitted.REPEATED

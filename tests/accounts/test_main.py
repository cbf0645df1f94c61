import json

import pytest
from sqlalchemy import select

from accounts.__main__ import main
from accounts.clock import DAY_MS, month_of, now_ms
from accounts.database import Database, open_database
from accounts.keys import KeyRequest, make_key
from accounts.tables import Account, AuditEntry, Event, UsageHour
from tests.accounts.conftest import add_account


@pytest.fixture
def database(migrated_url, monkeypatch):
    monkeypatch.setenv("VISION_DATABASE_URL", migrated_url)
    monkeypatch.setenv("VISION_DEVELOPMENT", "true")
    engine = open_database(migrated_url)
    yield Database(engine)
    engine.dispose()


def add_event(database, request_id, started_ms):
    with database.write() as session:
        session.add(
            Event(
                account_id="acc_1",
                request_id=request_id,
                attempt_id=1,
                attempts=1,
                content="",
                answers=1,
                withheld=0,
                state="billed",
                key_id="k",
                model="mnist",
                revision="1",
                status=200,
                instances=1,
                pixels=1,
                request_bytes=1,
                response_bytes=1,
                milliseconds=1,
                unanswered_milliseconds=0,
                started_ms=started_ms,
                completed_ms=started_ms,
            )
        )


def test_tables_are_made(url, monkeypatch):
    monkeypatch.setenv("VISION_DATABASE_URL", url)
    monkeypatch.setenv("VISION_DEVELOPMENT", "true")
    assert main(["migrate"]) == 0
    assert main(["reconcile"]) == 0


def test_somebody_becomes_an_operator(database):
    with database.write() as session:
        add_account(session)
    assert main(["role", "ada@example.org", "operator"]) == 0
    assert main(["role", "ada@example.org", "trainer", "deployer", "--why", "moved"]) == 0
    with database.read() as session:
        assert session.scalars(select(Account.role)).one() == "deployer trainer"
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()[-1]
        found = (last.actor_id, last.action, last.detail, last.why)
        assert found == ("shell", "role changed", "operator to deployer trainer", "moved")
    assert main(["role", "nobody@example.org", "operator"]) == 1


def test_old_events_go_and_windows_stay(database, capsys, monkeypatch):
    monkeypatch.setattr("accounts.events.DELETED_AT_ONCE", 2)
    for number in range(5):
        add_event(database, f"old-{number}", now_ms() - 401 * DAY_MS)
    add_event(database, "new", now_ms() - 399 * DAY_MS)
    assert main(["retain"]) == 0
    assert "5 events deleted" in capsys.readouterr().out
    with database.read() as session:
        assert session.scalars(select(Event.request_id)).all() == ["new"]


def test_keys_in_use_that_end_soon_are_listed_with_their_owner(database, capsys):
    asked = {"soon": 3, "later": 30, "never": None, "unused": 3}
    with database.write() as session:
        account = add_account(session)
        for name, days in asked.items():
            key = make_key(session, account.id, KeyRequest(name, days=days))
            if name != "unused":
                session.add(used_now(account.id, key.id))
    assert main(["expiring"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "ada@example.org" in line
    assert "soon, last used about" in line
    assert main(["expiring", "60"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def used_now(account_id, key_id):
    numbers = ("requests", "failures", "instances", "pixels", "request_bytes", "response_bytes")
    times = ("milliseconds", "unanswered_milliseconds")
    return UsageHour(
        account_id=account_id,
        hour_ms=now_ms(),
        key_id=key_id,
        model="mnist",
        revision="1",
        **dict.fromkeys((*numbers, *times), 1),
    )


def test_what_does_not_add_up_is_an_exit_status(database, capsys):
    add_event(database, "r1", now_ms())
    assert main(["reconcile"]) == 1
    assert "difference           -1" in capsys.readouterr().out


def test_answers_of_the_model_server_are_compared_with_bills(database, tmp_path, capsys):
    """Where events and windows agree with each other and are wrong together."""
    log = tmp_path / "transformer.log"

    def line(request_id, content="", instances=1, status=200):
        document = {"message": "answered", "status": status, "account_id": "acc_1"}
        document |= {"request_id": request_id, "content": content, "instances": instances}
        return json.dumps(document) + "\n"

    def said(*lines):
        log.write_text("".join(lines))
        status = main(["reconcile", "--answers", str(log)])
        found = dict(line.split() for line in capsys.readouterr().out.splitlines())
        return status, {name: int(value) for name, value in found.items()}

    add_event(database, "r1", now_ms())
    with database.write() as session:
        zeros = dict.fromkeys(
            (
                "failures",
                "pixels",
                "request_bytes",
                "response_bytes",
                "milliseconds",
                "unanswered_milliseconds",
            ),
            0,
        )
        place = {"account_id": "acc_1", "hour_ms": 0, "key_id": "k", "model": "m", "revision": "1"}
        session.add(UsageHour(**place, **zeros, requests=1, instances=1))
    cut = '{"message": "answered", "account_id": "acc'
    status, found = said(line("r1"), line("r1"), line("r2", status=503), "started\n", cut)
    assert (status, found["answered"], found["answered_instances"]) == (0, 1, 1)
    status, found = said(line("r1"), line("r1", "other", 40))
    assert (status, found["answered_not_billed"], found["difference"]) == (1, 1, 0)
    status, found = said(line("r1", instances=2))
    assert (status, found["instance_difference"]) == (1, -1)
    status, found = said(line("r9"))
    assert (status, found["answered_not_billed"]) == (1, 1)
    status, found = said(line("r1", "other"))
    assert (status, found["billed_not_answered"]) == (1, 1)
    assert main(["reconcile", "--answers", str(tmp_path / "none")]) == 1


def test_bills_are_issued_once(database, capsys):
    at = now_ms() - 40 * DAY_MS
    with database.write() as session:
        account = add_account(session)
        zeros = dict.fromkeys(("failures", "pixels", "request_bytes", "response_bytes"), 0)
        session.add(
            UsageHour(
                account_id=account.id,
                hour_ms=at - at % 3_600_000,
                key_id="k",
                model="mnist",
                revision="1",
                requests=2000,
                instances=2000,
                milliseconds=1,
                unanswered_milliseconds=0,
                **zeros,
            )
        )
    for _ in range(2):
        assert main(["invoices", month_of(at)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert first.endswith("0.36 EUR")
    assert main(["invoices", month_of(now_ms())]) == 1


def test_a_wrong_setting_is_said_without_its_value(capsys, monkeypatch):
    monkeypatch.setenv("VISION_EVENT_DAYS", "perhaps")
    monkeypatch.setenv("VISION_DATABASE_URL", "mysql+pymysql://u:hush@h/d")
    assert main(["reconcile"]) == 1
    said = capsys.readouterr().err
    assert "VISION_EVENT_DAYS" in said
    assert "hush" not in said

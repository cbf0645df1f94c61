"""Mail is sent afterwards, and nothing slow happens while a transaction is open."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from accounts.clock import now_ms
from accounts.outbox import LEASE_SECONDS, MAX_TRIES, Outbox
from accounts.owed_mail import MailWriter
from accounts.tables import Account, MailedToken, OwedMail
from common.mail import MailRefusedError, MailServerError
from tests.accounts.test_people import CLIENT, EMAIL, PASSWORD, registered

pytestmark = pytest.mark.usefixtures("cheap_passwords")


@contextmanager
def standing_still(monkeypatch, place, name):
    """What is called there waits until this is left; yields an event that says that it does."""
    begun, leave = threading.Event(), threading.Event()
    original = getattr(place, name)

    def wait(*arguments):
        begun.set()
        assert leave.wait(30)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, wait)
        try:
            yield begun
        finally:
            leave.set()


ACTIONS = {
    "register": lambda people, _, __: people.register("bob@example.org", PASSWORD, CLIENT),
    "log in": lambda people, _, __: people.log_in(EMAIL, PASSWORD, CLIENT),
    "log in with a wrong password": lambda people, _, __: people.log_in(EMAIL, "wrong", CLIENT),
    "change the password": lambda people, account, __: people.change_password(
        account, PASSWORD, "another password"
    ),
    "reset the password": lambda people, _, token: people.reset_password(
        token, "another password", CLIENT
    ),
    "close": lambda people, account, __: people.close(account, PASSWORD),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_no_transaction_is_open_while_a_password_is_hashed(
    people, database, mailbox, monkeypatch, action
):
    account_id = registered(people, mailbox)
    people.ask_reset(EMAIL, CLIENT)
    token = mailbox.token()
    method = "hash" if action in ("register", "reset the password") else "fits"
    with ThreadPoolExecutor(1) as pool:
        with standing_still(monkeypatch, people._passwords, method) as begun:
            done = pool.submit(ACTIONS[action], people, account_id, token)
            assert begun.wait(10)
            # The ledger, and everybody else, writes meanwhile.
            with database.write() as session:
                session.get_one(Account, account_id, with_for_update=True).created_ms += 1
        done.exception(10)


def test_no_transaction_is_open_while_a_mail_is_sent(people, database, mailbox, monkeypatch):
    people.register(EMAIL, PASSWORD, CLIENT)
    with ThreadPoolExecutor(1) as pool:
        with standing_still(monkeypatch, mailbox, "send") as begun:
            sent = pool.submit(people._outbox.send_due)
            assert begun.wait(10)
            with database.write() as session:
                session.scalars(select(Account)).one().created_ms += 1
            # Nobody waits for a mail server.
            people.register("bob@example.org", PASSWORD, CLIENT)
        assert sent.result(10) == 2


def test_a_request_does_the_same_whether_the_address_is_known_or_not(people, database, mailbox):
    registered(people, mailbox)

    def changes(email):
        people.ask_reset(email, CLIENT)
        with database.write() as session:
            (row,) = session.scalars(select(OwedMail)).all()
            found = (row.kind, row.password_hash, row.tries)
            tokens = len(session.scalars(select(MailedToken)).all())
            session.delete(row)
        return found, tokens

    assert changes(EMAIL) == changes("nobody@example.org")


def test_a_mail_is_tried_again_until_it_is_taken(people, database, mailbox, monkeypatch, caplog):
    people.register(EMAIL, PASSWORD, CLIENT)
    fault: list[Exception] = [MailServerError("away")] * 3
    send = type(mailbox).send

    def flaky(mail):
        if fault:
            raise fault.pop()
        send(mailbox, mail)

    monkeypatch.setattr(mailbox, "send", flaky)
    outbox = people._outbox
    for number, wait in enumerate((5, 10, 20), 1):
        assert outbox.send_due() == 0
        with database.write() as session:
            row = session.scalars(select(OwedMail)).one()
            assert row.tries == number
            assert 0 < row.due_ms - now_ms() <= wait * 1000
            row.due_ms = 0
    assert outbox.send_due() == 1
    with database.read() as session:
        assert session.scalars(select(OwedMail)).all() == []
    assert "tried again in 5 s" in caplog.text
    assert EMAIL not in caplog.text
    people.verify(mailbox.token(), PASSWORD)


def test_what_will_never_be_taken_is_given_up(people, database, mailbox, monkeypatch, caplog):
    def refuse(_):
        raise MailRefusedError("[550]")

    monkeypatch.setattr(mailbox, "send", refuse)
    people.register(EMAIL, PASSWORD, CLIENT)
    assert people._outbox.send_due() == 0
    assert "refused for good" in caplog.text

    def away(_):
        raise MailServerError("away")

    monkeypatch.setattr(mailbox, "send", away)
    people.register(EMAIL, PASSWORD, CLIENT)
    for _ in range(MAX_TRIES):
        with database.write() as session:
            session.scalars(select(OwedMail)).one().due_ms = 0
        people._outbox.send_due()
    assert "given up" in caplog.text
    with database.read() as session:
        assert session.scalars(select(OwedMail)).all() == []


def test_two_replicas_do_not_send_the_same_mail(people, database, mailbox, settings):
    for number in range(5):
        people.register(f"p{number}@example.org", PASSWORD, CLIENT)
    replicas = [Outbox(database, mailbox, MailWriter(settings)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        sent = sum(pool.map(Outbox.send_due, replicas))
    assert sent == 5
    assert len({mail.to for mail in mailbox.mails}) == len(mailbox.mails) == 5


def test_what_a_killed_process_has_taken_is_sent_by_another(people, database, mailbox):
    people.register(EMAIL, PASSWORD, CLIENT)
    outbox = people._outbox
    assert outbox._take() is not None
    assert outbox.send_due() == 0
    with database.write() as session:
        row = session.scalars(select(OwedMail)).one()
        assert row.due_ms - now_ms() <= LEASE_SECONDS * 1000
        row.due_ms = now_ms()
    assert outbox.send_due() == 1


def test_its_thread_sends_what_it_is_told_of_and_ends(people, mailbox):
    outbox = people._outbox
    outbox.start()
    try:
        people.register(EMAIL, PASSWORD, CLIENT)
        sent = threading.Event()
        for _ in range(200):
            if mailbox._mails:
                sent.set()
                break
            threading.Event().wait(0.05)
        assert sent.is_set()
    finally:
        outbox.stop()

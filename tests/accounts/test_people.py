from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from accounts.clock import HOUR_MS, now_ms
from accounts.errors import (
    InvalidValueError,
    NotFoundError,
    NotLoggedInError,
    TooManyAttemptsError,
    WrongLoginError,
)
from accounts.keys import KeyRequest, list_keys, make_key
from accounts.staff import set_roles
from accounts.tables import Account, AuditEntry, LoginSession, MailedToken

pytestmark = pytest.mark.usefixtures("cheap_passwords")

EMAIL, PASSWORD, CLIENT = "ada@example.org", "correct horse battery", "192.0.2.1"


def registered(people, mailbox):
    """The id of a new account."""
    people.register(EMAIL, PASSWORD, CLIENT)
    people.verify(mailbox.token(), PASSWORD)
    return people.who(people.log_in(EMAIL, PASSWORD, CLIENT).token).account_id


def test_register_verify_log_in_and_out(people, database, mailbox):
    people.register(" Ada@Example.org ", PASSWORD, CLIENT)
    assert mailbox.mails[0].to == EMAIL
    with pytest.raises(WrongLoginError):
        people.log_in(EMAIL, PASSWORD, CLIENT)
    people.verify(mailbox.token(), PASSWORD)
    opened = people.log_in(EMAIL, PASSWORD, CLIENT)
    who = people.who(opened.token)
    assert (who.email, who.roles, who.csrf) == (EMAIL, ("user",), opened.csrf)
    people.log_out(opened.token)
    with pytest.raises(NotLoggedInError):
        people.who(opened.token)


def test_no_secret_is_in_the_database(people, database, mailbox):
    registered(people, mailbox)
    opened = people.log_in(EMAIL, PASSWORD, CLIENT)
    with database.read() as session:
        stored = session.scalars(select(LoginSession)).all()
        account = session.scalars(select(Account)).one()
    assert not any(opened.token in (row.hash, row.csrf) for row in stored)
    assert account.password_hash.startswith("$argon2id$")


def test_a_token_works_once_and_not_for_long(people, database, mailbox):
    people.register(EMAIL, PASSWORD, CLIENT)
    token = mailbox.token()
    people.verify(token, PASSWORD)
    with pytest.raises(InvalidValueError, match="used already"):
        people.verify(token, PASSWORD)
    people.ask_reset(EMAIL, CLIENT)
    token = mailbox.token()
    with database.write() as session:
        for row in session.scalars(select(MailedToken).where(MailedToken.purpose == "reset")):
            row.expires_ms = now_ms() - 1
    with pytest.raises(InvalidValueError, match="too old"):
        people.reset_password(token, "another password", CLIENT)


def test_who_registers_in_another_name_gains_nothing(people, database, mailbox):
    people.register(EMAIL, "the attacker's own", CLIENT)
    with pytest.raises(InvalidValueError, match="password of the registration"):
        people.verify(mailbox.token(), PASSWORD)
    people.register(EMAIL, PASSWORD, CLIENT)
    people.verify(mailbox.token(), PASSWORD)
    with pytest.raises(WrongLoginError):
        people.log_in(EMAIL, "the attacker's own", CLIENT)


def test_a_registered_address_is_not_told(people, database, mailbox):
    registered(people, mailbox)
    assert people.register(EMAIL, "something else", CLIENT) is None
    assert "have an account" in mailbox.mails[-1].subject
    people.log_in(EMAIL, PASSWORD, CLIENT)


def test_wrong_logins_all_say_the_same(people, database, mailbox):
    registered(people, mailbox)
    said = set()
    for email, password in ((EMAIL, "wrong password"), ("bob@example.org", PASSWORD)):
        with pytest.raises(WrongLoginError) as error:
            people.log_in(email, password, CLIENT)
        said.add(error.value.message)
    assert len(said) == 1


def test_failed_logins_are_limited_by_client_and_account_together(people, mailbox, settings):
    registered(people, mailbox)
    for _ in range(settings.login_attempts):
        with pytest.raises(WrongLoginError):
            people.log_in(EMAIL, "wrong password", "192.0.2.66")
    with pytest.raises(TooManyAttemptsError) as error:
        people.log_in(EMAIL, PASSWORD, "192.0.2.66")
    assert 0 < error.value.retry_after_seconds <= 900
    # Nobody is locked out by what somebody else does, nor another account by what is done to one.
    people.log_in(EMAIL, PASSWORD, CLIENT)
    with pytest.raises(WrongLoginError):
        people.log_in("bob@example.org", PASSWORD, "192.0.2.66")


def test_one_client_does_not_try_every_account(people, settings):
    for number in range(settings.client_login_attempts):
        with pytest.raises(WrongLoginError):
            people.log_in(f"p{number}@example.org", PASSWORD, CLIENT)
    with pytest.raises(TooManyAttemptsError):
        people.log_in("one-more@example.org", PASSWORD, CLIENT)


def test_many_clients_do_not_share_the_work_and_the_owner_has_a_way_in(people, mailbox, settings):
    registered(people, mailbox)
    for number in range(settings.account_login_attempts):
        with pytest.raises(WrongLoginError):
            people.log_in(EMAIL, "wrong password", f"192.0.3.{number}")
    with pytest.raises(TooManyAttemptsError):
        people.log_in(EMAIL, PASSWORD, "192.0.3.200")
    # From where the owner has been before, and by mail from anywhere else.
    people.log_in(EMAIL, PASSWORD, CLIENT)
    people.ask_reset(EMAIL, "198.51.100.7")
    people.reset_password(mailbox.token(), "another password", "198.51.100.7")
    people.log_in(EMAIL, "another password", "198.51.100.7")


def test_right_passwords_do_not_count(people, mailbox, settings):
    registered(people, mailbox)
    tokens = {
        people.log_in(EMAIL, PASSWORD, CLIENT).token for _ in range(2 * settings.login_attempts)
    }
    assert len(tokens) == 2 * settings.login_attempts


def test_logins_at_the_same_time_are_counted_before_they_are_tried(
    people, mailbox, settings, monkeypatch
):
    registered(people, mailbox)
    tried = []
    fits = people._passwords.fits
    monkeypatch.setattr(people._passwords, "fits", lambda *a: tried.append(a) or fits(*a))

    def log_in(_):
        try:
            people.log_in(EMAIL, "wrong password", CLIENT)
        except (WrongLoginError, TooManyAttemptsError) as error:
            return type(error)

    with ThreadPoolExecutor(60) as pool:
        said = Counter(pool.map(log_in, range(60)))
    assert said == {
        WrongLoginError: settings.login_attempts,
        TooManyAttemptsError: 60 - settings.login_attempts,
    }
    assert len(tried) == settings.login_attempts


def test_registrations_are_limited_by_client(people, settings):
    for number in range(settings.registration_attempts):
        people.register(f"p{number}@example.org", PASSWORD, CLIENT)
    with pytest.raises(TooManyAttemptsError):
        people.register("more@example.org", PASSWORD, CLIENT)


def test_nobodys_mailbox_is_flooded_and_every_link_in_it_works(people, mailbox):
    registered(people, mailbox)
    for number in range(4):
        people.ask_reset(EMAIL, f"192.0.2.{number}")
    for _ in range(2):
        with pytest.raises(TooManyAttemptsError):
            people.ask_reset(EMAIL, "192.0.2.99")
    tokens = [mail.text.split("token=")[1].split()[0] for mail in mailbox.mails[-4:]]
    for token in tokens:
        people.reset_password(token, "another password", CLIENT)


def test_registering_again_does_not_void_an_older_link(people, mailbox):
    people.register(EMAIL, PASSWORD, CLIENT)
    own = mailbox.token()
    people.register(EMAIL, "the attacker's own", "192.0.2.66")
    theirs = mailbox.token()
    with pytest.raises(InvalidValueError, match="password of the registration"):
        people.verify(theirs, PASSWORD)
    people.verify(own, PASSWORD)
    people.log_in(EMAIL, PASSWORD, CLIENT)
    with pytest.raises(InvalidValueError):
        people.verify(theirs, "the attacker's own")


@pytest.mark.parametrize(
    "email", ["", "ada", "a@b", "a b@c.de", "a@b.c\x07", "a@b.\ud800", "a" * 250 + "@b.cd"]
)
def test_odd_addresses_are_refused(people, email):
    with pytest.raises(InvalidValueError):
        people.register(email, PASSWORD, CLIENT)


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_odd_passwords_are_refused(people, password):
    with pytest.raises(InvalidValueError, match="10 to 256"):
        people.register(EMAIL, password, CLIENT)


def test_a_new_password_ends_every_session(people, database, mailbox):
    account_id = registered(people, mailbox)
    opened = people.log_in(EMAIL, PASSWORD, CLIENT)
    with pytest.raises(InvalidValueError, match="present password"):
        people.change_password(account_id, "wrong password", "another password")
    people.change_password(account_id, PASSWORD, "another password")
    with pytest.raises(NotLoggedInError):
        people.who(opened.token)
    people.log_in(EMAIL, "another password", CLIENT)


def test_a_forgotten_password_is_set_by_mail(people, database, mailbox):
    registered(people, mailbox)
    people.ask_reset("nobody@example.org", CLIENT)
    assert len(mailbox.mails) == 1
    people.ask_reset(EMAIL, CLIENT)
    people.reset_password(mailbox.token(), "another password", CLIENT)
    people.log_in(EMAIL, "another password", CLIENT)


def test_a_closed_account_is_forgotten_but_for_its_bills(people, database, mailbox):
    account_id = registered(people, mailbox)
    opened = people.log_in(EMAIL, PASSWORD, CLIENT)
    with database.write() as session:
        make_key(session, account_id, KeyRequest("one"))
    with pytest.raises(InvalidValueError):
        people.close(account_id, "wrong password")
    people.close(account_id, PASSWORD)
    with database.read() as session:
        account = session.get_one(Account, account_id)
        assert (account.email, account.password_hash) == (None, None)
        assert not any(key.works for key in list_keys(session, account_id))
    with pytest.raises(NotLoggedInError):
        people.who(opened.token)
    registered(people, mailbox)


def test_sessions_end(people, database, mailbox):
    registered(people, mailbox)
    opened = people.log_in(EMAIL, PASSWORD, CLIENT)
    with database.write() as session:
        for row in session.scalars(select(LoginSession)):
            row.expires_ms -= 13 * HOUR_MS
    with pytest.raises(NotLoggedInError):
        people.who(opened.token)


def test_roles(people, database, mailbox):
    registered(people, mailbox)
    with database.write() as session:
        set_roles(session, EMAIL, ["operator"], "shell")
    assert people.who(people.log_in(EMAIL, PASSWORD, CLIENT).token).may("audit")
    with database.write() as session:
        with pytest.raises(NotFoundError):
            set_roles(session, "nobody@example.org", ["operator"], "shell")
        with pytest.raises(InvalidValueError):
            set_roles(session, EMAIL, ["king"], "shell")


def test_the_audit_log_names_who_did_what(people, database, mailbox):
    account_id = registered(people, mailbox)
    with pytest.raises(WrongLoginError):
        people.log_in(EMAIL, "wrong password", CLIENT)
    people.log_in(EMAIL, PASSWORD, CLIENT)
    with database.read() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(e.action, e.actor_id == account_id) for e in entries] == [
        ("account registered", True),
        ("address verified", True),
        ("logged in", True),
        ("login failed", False),
        ("logged in", True),
    ]
    assert not any(PASSWORD in e.detail for e in entries)

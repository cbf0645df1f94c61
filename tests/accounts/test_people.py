import pytest
from sqlalchemy import select

from accounts.clock import HOUR_MS, now_ms
from accounts.errors import NoSuchThing, NotLoggedIn, Refused, TooMany, WrongLogin
from accounts.keys import KeyRequest, list_keys, make_key
from accounts.people import OPERATOR, set_role
from accounts.tables import Account, AuditEntry, LoginSession, MailedToken

pytestmark = pytest.mark.usefixtures("cheap_passwords")

EMAIL, PASSWORD, CLIENT = "ada@example.org", "correct horse battery", "192.0.2.1"


def registered(people, session, outbox):
    people.register(session, EMAIL, PASSWORD, CLIENT)
    people.verify(session, outbox.token(), PASSWORD)
    session.commit()
    return session.scalars(select(Account).where(Account.email == EMAIL)).one()


def test_register_verify_log_in_and_out(people, session, outbox):
    people.register(session, " Ada@Example.org ", PASSWORD, CLIENT)
    assert outbox.mails[0][0] == EMAIL
    with pytest.raises(WrongLogin):
        people.log_in(session, EMAIL, PASSWORD, CLIENT)
    people.verify(session, outbox.token(), PASSWORD)
    opened = people.log_in(session, EMAIL, PASSWORD, CLIENT)
    who = people.who(session, opened.token)
    assert (who.email, who.role, who.csrf) == (EMAIL, "user", opened.csrf)
    people.log_out(session, opened.token)
    with pytest.raises(NotLoggedIn):
        people.who(session, opened.token)


def test_no_secret_is_in_the_database(people, session, outbox):
    registered(people, session, outbox)
    opened = people.log_in(session, EMAIL, PASSWORD, CLIENT)
    session.flush()
    stored = session.scalars(select(LoginSession)).one()
    account = session.scalars(select(Account)).one()
    assert opened.token not in (stored.hash, stored.csrf)
    assert account.password_hash.startswith("$argon2id$")


def test_a_token_works_once_and_not_for_long(people, session, outbox):
    people.register(session, EMAIL, PASSWORD, CLIENT)
    token = outbox.token()
    people.verify(session, token, PASSWORD)
    with pytest.raises(Refused, match="used already"):
        people.verify(session, token, PASSWORD)
    people.ask_reset(session, EMAIL, CLIENT)
    session.flush()
    for row in session.scalars(select(MailedToken).where(MailedToken.purpose == "reset")):
        row.expires_ms = now_ms() - 1
    with pytest.raises(Refused, match="too old"):
        people.reset_password(session, outbox.token(), "another password")


def test_who_registers_in_another_name_gains_nothing(people, session, outbox):
    people.register(session, EMAIL, "the attacker's own", CLIENT)
    with pytest.raises(Refused, match="password of the registration"):
        people.verify(session, outbox.token(), PASSWORD)
    people.register(session, EMAIL, PASSWORD, CLIENT)
    people.verify(session, outbox.token(), PASSWORD)
    with pytest.raises(WrongLogin):
        people.log_in(session, EMAIL, "the attacker's own", CLIENT)


def test_a_registered_address_is_not_told(people, session, outbox):
    registered(people, session, outbox)
    assert people.register(session, EMAIL, "something else", CLIENT) is None
    assert "have an account" in outbox.mails[-1][1]
    people.log_in(session, EMAIL, PASSWORD, CLIENT)


def test_wrong_logins_all_say_the_same(people, session, outbox):
    registered(people, session, outbox)
    said = set()
    for email, password in ((EMAIL, "wrong password"), ("bob@example.org", PASSWORD)):
        with pytest.raises(WrongLogin) as error:
            people.log_in(session, email, password, CLIENT)
        said.add(error.value.message)
    assert len(said) == 1


def test_failed_logins_are_limited_by_address_and_by_client(people, session, outbox, settings):
    registered(people, session, outbox)
    for _ in range(settings.login_attempts):
        with pytest.raises(WrongLogin):
            people.log_in(session, EMAIL, "wrong password", CLIENT)
    for email, client in ((EMAIL, "192.0.2.2"), ("bob@example.org", CLIENT)):
        with pytest.raises(TooMany) as error:
            people.log_in(session, email, PASSWORD, client)
        assert 0 < error.value.retry_after_seconds <= 900
    with pytest.raises(WrongLogin):
        people.log_in(session, "bob@example.org", PASSWORD, "192.0.2.2")


def test_registrations_are_limited_by_client(people, session, settings):
    for number in range(settings.registration_attempts):
        people.register(session, f"p{number}@example.org", PASSWORD, CLIENT)
    with pytest.raises(TooMany):
        people.register(session, "more@example.org", PASSWORD, CLIENT)


@pytest.mark.parametrize("email", ["", "ada", "a@b", "a b@c.de", "a@b.c\x07", "a" * 250 + "@b.cd"])
def test_odd_addresses_are_refused(people, session, email):
    with pytest.raises(Refused):
        people.register(session, email, PASSWORD, CLIENT)


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_odd_passwords_are_refused(people, session, password):
    with pytest.raises(Refused, match="10 to 256"):
        people.register(session, EMAIL, password, CLIENT)


def test_a_new_password_ends_every_session(people, session, outbox):
    account = registered(people, session, outbox)
    opened = people.log_in(session, EMAIL, PASSWORD, CLIENT)
    with pytest.raises(Refused, match="present password"):
        people.change_password(session, account.id, "wrong password", "another password")
    people.change_password(session, account.id, PASSWORD, "another password")
    with pytest.raises(NotLoggedIn):
        people.who(session, opened.token)
    people.log_in(session, EMAIL, "another password", CLIENT)


def test_a_forgotten_password_is_set_by_mail(people, session, outbox):
    registered(people, session, outbox)
    people.ask_reset(session, "nobody@example.org", CLIENT)
    assert len(outbox.mails) == 1
    people.ask_reset(session, EMAIL, CLIENT)
    people.reset_password(session, outbox.token(), "another password")
    people.log_in(session, EMAIL, "another password", CLIENT)


def test_a_closed_account_is_forgotten_but_for_its_bills(people, session, outbox):
    account = registered(people, session, outbox)
    opened = people.log_in(session, EMAIL, PASSWORD, CLIENT)
    make_key(session, account.id, KeyRequest("one"))
    with pytest.raises(Refused):
        people.close(session, account.id, "wrong password")
    people.close(session, account.id, PASSWORD)
    session.commit()
    assert (account.email, account.password_hash) == (None, None)
    assert not any(key.works for key in list_keys(session, account.id))
    with pytest.raises(NotLoggedIn):
        people.who(session, opened.token)
    registered(people, session, outbox)


def test_sessions_end(people, session, outbox):
    registered(people, session, outbox)
    opened = people.log_in(session, EMAIL, PASSWORD, CLIENT)
    session.flush()
    session.scalars(select(LoginSession)).one().expires_ms -= 13 * HOUR_MS
    with pytest.raises(NotLoggedIn):
        people.who(session, opened.token)


def test_roles(people, session, outbox):
    registered(people, session, outbox)
    set_role(session, EMAIL, OPERATOR, "shell")
    assert people.who(session, people.log_in(session, EMAIL, PASSWORD, CLIENT).token).operator
    with pytest.raises(NoSuchThing):
        set_role(session, "nobody@example.org", OPERATOR, "shell")
    with pytest.raises(Refused):
        set_role(session, EMAIL, "king", "shell")


def test_the_audit_log_names_who_did_what(people, session, outbox):
    account = registered(people, session, outbox)
    with pytest.raises(WrongLogin):
        people.log_in(session, EMAIL, "wrong password", CLIENT)
    people.log_in(session, EMAIL, PASSWORD, CLIENT)
    session.flush()
    entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(e.action, e.actor_id == account.id) for e in entries] == [
        ("account registered", True),
        ("address verified", True),
        ("login failed", False),
        ("logged in", True),
    ]
    assert not any(PASSWORD in e.detail for e in entries)

import pytest

from accounts import domains
from accounts.clock import DAY_MS, now_ms
from accounts.errors import ConflictError, InvalidValueError, NotFoundError
from accounts.tables import Account, AuditEntry, Domain
from tests.accounts.conftest import add_account

NAME = "vision.example.org"


def add(session, account, name=NAME, **limits):
    return domains.add(session, account.id, name, "vision.example.com", **limits)


def make_active(session, account, name=NAME, **limits):
    view = add(session, account, name, **limits)
    domains.proven(session, view)
    domains.served(session, view, "")
    return view


def state(session, account):
    return domains.listed(session, account.id)[0].state


def test_a_domain_from_its_wish_to_its_end(session, account):
    view = add(session, account, models=("mnist",), rate_per_second=5)
    assert (view.state, view.txt_name) == ("pending", f"_vision-challenge.{NAME}")
    assert view.txt_value == f"vision-domain={view.token}"
    assert domains.held(session.connection()) == {}
    domains.proven(session, view)
    session.flush()
    assert domains.held(session.connection())[NAME].account_id == account.id
    assert domains.due(session, 10) == []
    domains.served(session, view, "waits for CertificateProvisioned")
    assert state(session, account) == "proven"
    domains.served(session, view, "")
    session.flush()
    rules = domains.held(session.connection())[NAME]
    assert (rules.account_id, rules.models, rules.rate_per_second) == (account.id, {"mnist"}, 5)
    domains.remove(session, account.id, NAME.upper())
    session.flush()
    assert domains.held(session.connection())[NAME].models == frozenset()
    domains.gone(session, view)
    assert domains.listed(session, account.id) == []
    actions = [entry.action for entry in session.query(AuditEntry) if entry.detail.startswith(NAME)]
    assert actions == ["domain added", "domain proven", "domain active", "domain removed"]


@pytest.mark.parametrize(
    "name",
    [
        *("", "example", "-a.example.org", "a..example.org", "*.example.org", "10.0.0.1"),
        *("https://a.example.org", "a.example.org/x", "a b.example.org", "x" * 64 + ".org"),
        *("vision.example.com", "a.vision.example.com", "example.com", "edge.vision.svc"),
        *("edge.vision.svc.cluster.local", "a.localhost", "printer.local"),
        f"{'x' * 54}.example.org",  # no certificate has so long a common name
    ],
)
def test_names_that_nobody_can_have(session, account, name):
    with pytest.raises(InvalidValueError):
        add(session, account, name)


def test_a_name_may_be_as_long_as_a_common_name(session, account):
    assert len(add(session, account, f"{'x' * 51}.example.org").name) == 63


def test_other_alphabets_are_written_as_dns_has_them(session, account):
    assert add(session, account, "Bücher.Example.org.").name == "xn--bcher-kva.example.org"


def test_two_may_ask_and_the_first_that_proves_it_has_it(session, account):
    other = add_account(session, "other@example.org")
    mine, theirs = add(session, account), add(session, other)
    domains.proven(session, theirs)
    domains.proven(session, mine)
    assert domains.holder(session, NAME).account_id == other.id
    assert state(session, account) == "pending"
    # Whose proof is gone loses it, but only once nothing of it is served.
    domains.take_over(session, theirs)
    domains.proven(session, mine)
    assert state(session, account) == "pending"
    domains.gone(session, theirs)
    domains.proven(session, mine)
    assert state(session, account) == "proven"


def test_proof_is_looked_for_less_and_less_often_then_no_more(session, account):
    view = add(session, account)
    row = session.get(Domain, (NAME, account.id))
    waits = []
    for _ in range(12):
        domains.unproven(session, view, "no record")
        waits.append(row.due_ms - row.checked_ms)
    assert waits[0] == 15_000 and waits == sorted(waits) and waits[-1] == 3_600_000
    assert row.problem == "no record"
    row.checked_ms -= 10_000
    domains.look_now(session, account.id, NAME)
    assert row.due_ms <= now_ms()
    row.created_ms -= 8 * DAY_MS
    domains.unproven(session, view, "no record")
    assert row.state == "removing"


def test_a_closed_account_keeps_none(session, account):
    make_active(session, account)
    session.get(Account, account.id).closed_ms = now_ms()
    session.flush()
    assert [view.state for view in domains.due(session, 10)] == ["removing"]


def test_others_domains_are_not_there(session, account):
    other = add_account(session, "other@example.org")
    add(session, other)
    for change in (domains.remove, domains.look_now):
        with pytest.raises(NotFoundError):
            change(session, account.id, NAME)


def test_an_account_has_so_many(session, account):
    for number in range(domains.MAX_DOMAINS):
        add(session, account, f"n{number}.example.org")
    with pytest.raises(ConflictError):
        add(session, account)

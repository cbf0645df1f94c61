"""Each role on each route of the API and each page; every change on record, with who and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from starlette.routing import Route

from accounts.keys import KeyRequest, make_key
from accounts.staff import set_roles
from accounts.tables import AuditEntry, Invoice
from common.roles import read_roles
from tests.accounts.conftest import add_account
from tests.console.conftest import EMAIL, PASSWORD, Browser

API = "/api/v1"
REASON = {"why": "ticket 7"}
ROLES = ("viewer", "developer", "deployer", "trainer", "operator", "billing")
STAFF = ("viewer", "developer", "deployer", "trainer", "operator")
DEPLOYING = ("deployer", "operator")

# Who may ask for it; to the others it is a 403.
ROUTES = {
    ("GET", "/operator/revisions"): STAFF,
    ("GET", "/operator/accuracy"): STAFF,
    ("GET", "/operator/confusion"): STAFF,
    ("GET", "/operator/accounts"): ("operator", "billing"),
    ("GET", "/operator/reconciliation"): ("operator", "billing"),
    ("GET", "/operator/events"): ("operator", "billing"),
    ("GET", "/operator/events/unknown"): ("operator", "billing"),
    ("GET", "/operator/people"): ("operator",),
    ("POST", "/operator/people/roles"): ("operator",),
    ("GET", "/operator/audit"): ("operator",),
    ("POST", "/operator/keys/{key_id}/revocation"): ("operator",),
    ("GET", "/operator/experiments"): STAFF,
    ("POST", "/operator/experiments"): DEPLOYING,
    ("GET", "/operator/experiments/{name}"): STAFF,
    ("PATCH", "/operator/experiments/{name}"): DEPLOYING,
    ("POST", "/operator/experiments/{name}/stop"): DEPLOYING,
    ("GET", "/operator/invoices"): ("billing",),
    ("POST", "/operator/invoices/{number}/void"): ("billing",),
}
# Who sees it; to the others it does not exist.
PAGES = {
    ("GET", "/operator"): ROLES,
    ("GET", "/operator/people"): ("operator",),
    ("POST", "/operator/people"): ("operator",),
    ("GET", "/operator/audit"): ("operator",),
    ("GET", "/operator/experiments"): STAFF,
    ("POST", "/operator/experiments"): DEPLOYING,
    ("POST", "/operator/experiments/{name}/stop"): DEPLOYING,
}
OF_ONE = {("GET", "/operator/experiments/{name}")}
"""Not there for anybody, where there is none of the name."""
SECTIONS = {
    "Traffic by revision": STAFF,
    "Reconciliation": ("operator", "billing"),
    "People and roles": ("operator",),
}


@pytest.fixture
def ask(browser: Browser):
    """A request to the API by who is logged in there, as JSON."""
    browser.sign_up()
    body = {"email": EMAIL, "password": PASSWORD}
    token = browser.http.post(f"{API}/sessions", json=body).json()["token"]

    def ask(method: str, path: str, **arguments):
        headers = {"authorization": f"Bearer {token}"}
        return browser.http.request(method, API + path, headers=headers, **arguments)

    return ask


def become(browser: Browser, *roles: str) -> None:
    with browser.service.database.write() as session:
        set_roles(session, EMAIL, roles, "shell")


def routes(browser: Browser) -> Iterator[tuple[str, str]]:
    """Methods and paths of the API, without its prefix."""
    for path, methods in browser.http.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        for method in methods:
            yield method.upper(), path.removeprefix(API)


def page_routes(browser: Browser) -> Iterator[tuple[str, str]]:
    """Methods and paths of the pages."""
    for included in browser.http.app.routes:  # type: ignore[attr-defined]
        router = getattr(included, "original_router", None)
        for route in router.routes if router else ():
            if isinstance(route, Route) and not route.include_in_schema:
                for method in (route.methods or set()) - {"HEAD"}:
                    yield method, route.path


def test_the_tables_know_every_route_that_takes_a_right(browser: Browser) -> None:
    assert {r for r in routes(browser) if r[1].startswith("/operator")} == set(ROUTES)
    assert {r for r in page_routes(browser) if r[1].startswith("/operator")} == {*PAGES, *OF_ONE}


@pytest.mark.parametrize("role", ["user", *ROLES])
def test_a_role_may_ask_for_what_the_table_says(browser: Browser, ask, role: str) -> None:
    become(browser, role)
    allowed = set()
    for method, path in ROUTES:
        answer = ask(
            method, re.sub(r"\{\w+\}", "7", path), json=None if method == "GET" else REASON
        )
        if answer.status_code != 403:
            # Of what is not there or not whole, but by somebody who may ask.
            assert answer.status_code in (200, 400, 404), (method, path)
            allowed.add((method, path))
        else:
            assert answer.json()["code"] == "not_allowed"
    assert allowed == {route for route, roles in ROUTES.items() if role in roles}


@pytest.mark.parametrize("role", ["user", *ROLES])
def test_a_role_sees_the_pages_that_the_table_says(browser: Browser, role: str) -> None:
    browser.sign_up()
    browser.log_in()
    become(browser, role)
    for (method, path), roles in PAGES.items():
        answer = browser.http.request(method, path)
        expected = {"GET": 200, "POST": 403}[method] if role in roles else 404
        assert answer.status_code == expected, (method, path)
    if role != "user":
        page = browser.page("/operator")
        for heading, roles in SECTIONS.items():
            assert (heading in page) == (role in roles), heading
    assert ('href="/operator"' in browser.page("/account")) == (role != "user")


def test_an_account_says_which_roles_and_rights_it_has(browser: Browser, ask) -> None:
    become(browser, "billing", "viewer")
    found = ask("GET", "/account").json()
    assert found["roles"] == ["viewer", "billing"]
    assert found["rights"] == sorted(read_roles().rights_of(["viewer", "billing"]))


def test_a_change_of_what_is_not_ones_own_says_who_and_why(browser: Browser, ask) -> None:
    become(browser, "operator", "billing")
    with browser.service.database.write() as session:
        other = add_account(session, "bob@example.org")
        key = make_key(session, other.id, KeyRequest("lost"))
        bill = {"month": "2026-01", "issued_ms": 1, "voided_ms": 0, "currency": "EUR"}
        session.add(Invoice(account_id=other.id, total_minor=1, document="{}", **bill))
        session.flush()
        number = session.scalars(select(Invoice.number)).one()
        other_id = other.id
    changes = {
        "key revoked": f"/operator/keys/{key.id}/revocation",
        "invoice voided": f"/operator/invoices/{number}/void",
        "role changed": "/operator/people/roles",
    }
    for action, path in changes.items():
        body = {"email": "bob@example.org", "roles": ["trainer"]} if "people" in path else {}
        for why in ({}, {"why": " "}):
            assert ask("POST", path, json={**body, **why}).status_code == 400, path
        assert ask("POST", path, json={**body, **REASON}).status_code in (200, 204), path
        lines = ask("GET", f"/operator/audit?account={other_id}").text.splitlines()
        newest = json.loads(lines[0])
        assert (newest["action"], newest["why"]) == (action, "ticket 7")
        assert newest["actor_id"] == ask("GET", "/account").json()["id"]
    text = ask("GET", "/operator/audit?form=csv").text
    assert text.splitlines()[0] == "at_ms,actor_id,account_id,action,detail,why"
    browser.log_in()
    page = browser.page("/operator/audit")
    assert "ticket 7" in page
    assert "bob@example.org" in page
    assert ask("GET", "/operator/people").json()[1]["roles"] == ["trainer"]


def test_the_page_of_people_changes_roles_with_a_reason(browser: Browser) -> None:
    browser.sign_up()
    browser.log_in()
    become(browser, "operator")
    path = "/operator/people"
    refused = browser.send(path, email=EMAIL, roles="viewer")
    assert refused.status_code == 400
    assert "Say why" in refused.text
    assert browser.send(path, email="nobody@example.org", why="x").status_code == 404
    done = browser.send(path, email=EMAIL, roles=["operator", "billing"], why="holidays")
    assert done.headers["location"] == path
    assert "operator, billing" in browser.page(path)
    assert "holidays" in browser.page("/operator/audit")


# What changes something, and leaves no entry of its own: nothing is changed before the mail's link
# is opened, which is on record.
SILENT = {
    ("POST", "/registrations"),
    ("POST", "/register"),
    ("POST", "/reset"),
}
OWN = {
    ("POST", "/verifications"): "address verified",
    ("POST", "/sessions"): "logged in",
    ("DELETE", "/sessions/current"): "logged out",
    ("POST", "/account/password"): "password changed",
    ("POST", "/account/closing"): "account closed",
    ("POST", "/keys"): "key made",
    ("POST", "/keys/{key_id}/rotation"): "key rotated",
    ("DELETE", "/keys/{key_id}"): "key revoked",
}
CAPTURES = {
    ("PUT", "/captures/choices/{model}"),
    ("DELETE", "/captures/choices/{model}"),
    ("DELETE", "/captures"),
}
"""On record likewise (``accounts/captures.py``), where there is a store for them."""
DOMAINS = {
    ("POST", "/domains"),
    ("PUT", "/domains/{name}/limits"),
    ("DELETE", "/domains/{name}"),
    # Changes nothing by itself: a proof that is found is on record.
    ("POST", "/domains/{name}/check"),
}
"""On record likewise (``accounts/domains.py``)."""
FEEDBACK = {("POST", "/v1/feedback")}
"""Changes nothing that was there: each is a row of its own."""
FORMS = {
    ("POST", "/domains"),
    ("POST", "/domains/{name}/{action}"),
    ("POST", "/verify"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/account/{action}"),
    ("POST", "/keys"),
    ("POST", "/keys/{key_id}/{action}"),
    ("POST", "/operator/people"),
    ("POST", "/operator/experiments"),
    ("POST", "/operator/experiments/{name}/stop"),
}
"""Forms of the pages, which call what the API calls."""


def test_every_route_that_changes_something_is_known(browser: Browser) -> None:
    known = {r for r in ROUTES if r[0] != "GET"}
    registering = ("POST", "/registrations")
    assert {r for r in routes(browser) if r[0] != "GET"} == {
        *(*OWN, *known, *CAPTURES, *DOMAINS, *FEEDBACK, registering)
    }
    pages = {r for r in page_routes(browser) if r[0] != "GET"}
    assert {*pages, registering} == FORMS | SILENT


def test_every_change_of_ones_own_is_on_record(browser: Browser, ask) -> None:
    database = browser.service.database

    def latest() -> tuple[int, str]:
        with database.read() as session:
            count = session.scalar(select(func.count()).select_from(AuditEntry))
            last = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
            return count or 0, last.action if last else ""

    def done(answer, route: tuple[str, str], before: int):
        assert answer.status_code < 300, route
        count, action = latest()
        assert (count > before, action) == (True, OWN[route]), route
        return answer

    new = {"email": "eve@example.org", "password": PASSWORD}
    browser.http.post(f"{API}/registrations", json=new)
    token = browser.mailbox.token()
    before = latest()[0]
    sent = {"token": token, "password": PASSWORD}
    done(ask("POST", "/verifications", json=sent), ("POST", "/verifications"), before)
    before = latest()[0]
    done(ask("POST", "/sessions", json=new), ("POST", "/sessions"), before)
    before = latest()[0]
    made = done(ask("POST", "/keys", json={"name": "a"}), ("POST", "/keys"), before).json()
    before = latest()[0]
    rotation = ("POST", "/keys/{key_id}/rotation")
    turned = done(ask("POST", f"/keys/{made['id']}/rotation"), rotation, before).json()
    before = latest()[0]
    done(ask("DELETE", f"/keys/{turned['id']}"), ("DELETE", "/keys/{key_id}"), before)
    before = latest()[0]
    done(ask("DELETE", "/sessions/current"), ("DELETE", "/sessions/current"), before)
    other = browser.http.post(f"{API}/sessions", json=new).json()["token"]
    headers = {"authorization": f"Bearer {other}"}
    before = latest()[0]
    change = {"old": PASSWORD, "new": "another password"}
    answer = browser.http.post(f"{API}/account/password", json=change, headers=headers)
    done(answer, ("POST", "/account/password"), before)
    new["password"] = "another password"
    other = browser.http.post(f"{API}/sessions", json=new).json()["token"]
    headers = {"authorization": f"Bearer {other}"}
    before = latest()[0]
    closing = {"password": "another password"}
    answer = browser.http.post(f"{API}/account/closing", json=closing, headers=headers)
    done(answer, ("POST", "/account/closing"), before)

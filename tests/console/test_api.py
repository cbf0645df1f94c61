import csv
import io
import json

import pytest
from sqlalchemy import event

from accounts.clock import DAY_MS, month_of, now_ms
from accounts.staff import set_roles
from accounts.tables import Event, UsageHour
from tests.console.conftest import EMAIL, PASSWORD

API = "/api/v1"


@pytest.fixture
def token(browser):
    body = {"email": EMAIL, "password": PASSWORD}
    assert browser.http.post(f"{API}/registrations", json=body).status_code == 202
    verification = {"token": browser.mailbox.token(), "password": PASSWORD}
    assert browser.http.post(f"{API}/verifications", json=verification).status_code == 204
    return browser.http.post(f"{API}/sessions", json=body).json()["token"]


@pytest.fixture
def ask(browser, token):
    def ask(method, path, **arguments):
        headers = {"authorization": f"Bearer {token}"}
        return browser.http.request(method, API + path, headers=headers, **arguments)

    return ask


def used(browser, account_id, requests=3, month_offset_days=0):
    hour = (now_ms() - month_offset_days * DAY_MS) // 3_600_000 * 3_600_000
    counts = dict.fromkeys(
        ("failures", "request_bytes", "response_bytes", "milliseconds", "unanswered_milliseconds"),
        0,
    )
    row = {"account_id": account_id, "hour_ms": hour, "key_id": "k", "model": "mnist"}
    size = {"requests": requests, "instances": 2 * requests, "pixels": 784 * requests}
    with browser.service.database.write() as session:
        session.add(UsageHour(**row, revision="1", **counts, **size))


def add_events(browser, owner, request_ids):
    """Intents, each ten seconds older than the one before."""
    zeros = dict.fromkeys(("attempt_id", "pixels", "request_bytes", "response_bytes"), 0)
    zeros |= dict.fromkeys(("answers", "withheld", "status", "instances", "milliseconds"), 0)
    with browser.service.database.write() as session:
        session.add_all(
            Event(
                account_id=owner,
                request_id=request_id,
                attempts=1,
                content="",
                state="intent",
                key_id="k",
                model="mnist",
                revision="",
                unanswered_milliseconds=0,
                started_ms=now_ms() - number * 10_000,
                **zeros,
            )
            for number, request_id in enumerate(request_ids)
        )


def test_the_life_of_a_key(ask):
    made = ask("POST", "/keys", json={"name": "laptop", "scopes": ["mnist"], "quota_requests": 9})
    assert made.status_code == 201
    (listed,) = ask("GET", "/keys").json()
    assert (listed["name"], listed["scopes"], listed["quota_requests"]) == ("laptop", ["mnist"], 9)
    assert made.json()["key"] not in json.dumps(listed)
    rotated = ask("POST", f"/keys/{made.json()['id']}/rotation").json()
    assert rotated["key"] != made.json()["key"]
    assert ask("DELETE", f"/keys/{rotated['id']}").status_code == 204
    assert all(key["revoked_ms"] for key in ask("GET", "/keys").json())


def test_without_a_session_there_is_nothing(browser):
    for path in ("/account", "/keys", "/usage", "/events", "/invoices", "/operator/accounts"):
        answer = browser.http.get(API + path)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "not_logged_in"


def test_a_cookie_is_no_session_here(browser, token):
    browser.http.cookies.set("session", token)
    assert browser.http.get(f"{API}/account").status_code == 401


def test_errors_have_one_shape_and_tell_no_secret(browser, ask):
    answers = [
        ask("POST", "/keys", json={"name": ""}),
        ask("POST", "/keys", json={"name": "x", "colour": "red"}),
        ask("GET", "/usage?size=year"),
        ask("GET", "/invoices/yesterday"),
        ask("GET", "/nothing"),
        browser.http.post(f"{API}/sessions", json={"email": EMAIL, "password": ["hunter2"]}),
    ]
    assert [a.status_code for a in answers] == [400, 400, 400, 400, 404, 400]
    for answer in answers:
        assert {"error", "code"} <= set(answer.json()) <= {"error", "code", "field"}
        assert "hunter2" not in answer.text


def test_usage_and_the_bill_say_the_same(browser, ask):
    account_id = ask("GET", "/account").json()["id"]
    used(browser, account_id, requests=5000)
    (window,) = ask("GET", "/usage").json()
    assert window["requests"] == 5000
    month = month_of(now_ms())
    bill = ask("GET", f"/invoices/{month}").json()
    assert bill["number"] is None
    assert [line["amount_minor"] for line in bill["lines"]] == [40, 180, 0]
    net = sum(line["amount_minor"] for line in bill["lines"])
    assert bill["vat_minor"] == round(net * 0.19)
    assert bill["total_minor"] == net + bill["vat_minor"]
    rows = list(csv.DictReader(io.StringIO(ask("GET", f"/invoices/{month}?form=csv").text)))
    assert rows[-1]["amount_minor"] == str(bill["total_minor"])
    pdf = ask("GET", f"/invoices/{month}?form=pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    assert ask("GET", "/invoices/2999-01").status_code == 400


def test_a_past_months_bill_is_issued_once_and_stays(browser, ask):
    account_id = ask("GET", "/account").json()["id"]
    used(browser, account_id, month_offset_days=40)
    month = month_of(now_ms() - 40 * DAY_MS)
    first = ask("GET", f"/invoices/{month}").json()
    assert first["number"] == 1
    used(browser, account_id, month_offset_days=41)
    assert ask("GET", f"/invoices/{month}").json() == first
    assert ask("GET", "/invoices").json() == [first]


def test_events_are_exported_in_pages(browser, ask, monkeypatch):
    monkeypatch.setattr("accounts.events.PAGE", 10)
    account_id = ask("GET", "/account").json()["id"]
    for owner in (account_id, "acc_other"):
        add_events(browser, owner, [f"r{n}" for n in range(25)])
    lines = ask("GET", "/events").text.splitlines()
    assert len({json.loads(line)["request_id"] for line in lines}) == len(lines) == 25
    assert len(ask("GET", "/events?form=csv").text.splitlines()) == 26
    unknown = ask("GET", "/events/unknown").json()
    # The first 12 are younger than a request can last.
    assert [event["request_id"] for event in unknown][:2] == ["r13", "r14"] or unknown
    assert {event["state"] for event in unknown} == {"unknown"}


def test_operators_see_everybody_and_nobody_else_does(browser, ask):
    paths = ("accounts", "revisions", "reconciliation", "events", "events/unknown")
    for path in paths:
        assert ask("GET", f"/operator/{path}").status_code == 403
    with browser.service.database.write() as session:
        set_roles(session, EMAIL, ["operator"], "shell")
    used(browser, "acc_other", requests=3)
    for path in paths:
        assert ask("GET", f"/operator/{path}").status_code == 200
    assert ask("GET", "/operator/accounts").json()[0]["requests"] == 3
    assert ask("GET", "/operator/revisions").json()[0]["share"] == 1.0
    assert ask("GET", "/operator/reconciliation").json()["difference"] == 3


def test_password_and_closing(browser, ask):
    change = {"old": PASSWORD, "new": "another password"}
    assert ask("POST", "/account/password", json={**change, "old": "wrong one"}).status_code == 400
    assert ask("POST", "/account/password", json=change).status_code == 204
    assert ask("GET", "/account").status_code == 401
    body = {"email": EMAIL, "password": "another password"}
    token = browser.http.post(f"{API}/sessions", json=body).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    closing = {"password": "another password"}
    answer = browser.http.post(f"{API}/account/closing", json=closing, headers=headers)
    assert answer.status_code == 204
    assert browser.http.post(f"{API}/sessions", json=body).status_code == 401


def test_logging_out_ends_the_session(ask):
    assert ask("DELETE", "/sessions/current").status_code == 204
    assert ask("GET", "/account").status_code == 401


def test_a_request_id_is_no_formula_in_an_export(browser, ask):
    account_id = ask("GET", "/account").json()["id"]
    add_events(browser, account_id, ['=HYPERLINK("https://evil.example")'])
    (row,) = csv.DictReader(io.StringIO(ask("GET", "/events?form=csv").text))
    assert row["request_id"].startswith("'=HYPERLINK")
    assert json.loads(ask("GET", "/events").text)["request_id"].startswith("=HYPERLINK")


def test_a_full_disk_is_a_503_and_says_so(browser, token):
    """As SQLite says it, which here may have no more pages than it has."""

    def full(connection, _):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine = browser.service.database._writers.kw["bind"]
    event.listen(engine, "connect", full)
    engine.dispose()
    body = {"email": EMAIL, "password": PASSWORD}
    answers = []
    while len(answers) < 200 and (not answers or answers[-1].status_code != 503):
        answers.append(browser.http.post(f"{API}/sessions", json=body))
    last = answers[-1]
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert (last.status_code, last.json()["code"]) == (503, "unavailable")
    assert int(last.headers["retry-after"]) > 0
    # What only reads goes on.
    headers = {"authorization": f"Bearer {token}"}
    assert browser.http.get(f"{API}/account", headers=headers).status_code == 200


def test_no_redirect_is_made_of_the_host_that_a_client_sends(browser):
    for path in ("/login/", "/keys/", "/api/v1/account/", "/static", "/static/"):
        answer = browser.http.get(path, headers={"host": "evil.example"})
        assert "evil.example" not in answer.headers.get("location", ""), path
        assert answer.status_code in (303, 401, 404), (path, answer.status_code)

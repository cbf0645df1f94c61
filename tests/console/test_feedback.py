"""Feedback and accuracy over HTTP."""

import base64
import json
from dataclasses import replace

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from accounts.captures import Captures, Choice, Copy, choose
from accounts.clock import now_ms
from accounts.keys import GIVES_FEEDBACK, READS_FEEDBACK, KeyRequest, make_key
from accounts.seals import Seals
from accounts.staff import set_roles
from accounts.tables import Account, AuditEntry, Prediction
from accounts.throttle import Limit
from console.capture import capture_app
from registry.folder import FolderStore
from tests.accounts.conftest import add_account
from tests.conftest import SHIPPED
from tests.console.conftest import EMAIL, PASSWORD, Browser

FEEDBACK = "/v1/feedback"


@pytest.fixture
def service(service):
    settings = service.settings.model_copy(update={"model_root": SHIPPED})
    return replace(service, settings=settings)


def customer(service, email="eve@example.org", scopes=("*", GIVES_FEEDBACK, READS_FEEDBACK)):
    with service.database.write() as session:
        account = add_account(session, email)
        key = make_key(session, account.id, KeyRequest("k", scopes)).key
        return account.id, {"authorization": f"Bearer {key}"}


def predict(service, account_id, request_id, text="7:900000", revision="2"):
    row = {"account_id": account_id, "request_id": request_id, "predicted": text}
    with service.database.write() as session:
        session.add(Prediction(**row, model="mnist", revision=revision, at_ms=now_ms()))


def test_one_and_several_right_answers(browser, service):
    account, key = customer(service)
    for name in ("a", "b"):
        predict(service, account, name)
    one = browser.http.post(FEEDBACK, json={"request_id": "a", "label": "7"}, headers=key)
    assert (one.status_code, one.json()["state"], one.json()["right"]) == (200, "new", True)
    said = [{"request_id": "a", "label": "7"}, {"request_id": "b", "label": "1", "instance": 0}]
    both = browser.http.post(FEEDBACK, json=said, headers=key).json()["feedback"]
    assert [(item["state"], item["right"]) for item in both] == [("same", True), ("new", False)]
    wrong = browser.http.post(FEEDBACK, json={"request_id": "a", "label": "x"}, headers=key)
    assert (wrong.status_code, wrong.json()["field"]) == (400, "label")
    assert "its labels are 0, 1, 2" in wrong.json()["error"]
    predict(service, account, "many", "%7B1%2C%207%7D:500000")
    many = browser.http.post(
        FEEDBACK, json={"request_id": "many", "labels": ["7", "1"]}, headers=key
    )
    assert (many.status_code, many.json()["right"], many.json()["label"]) == (200, True, "{1, 7}")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"request_id": "nobody's", "label": "7"}, 404),
        ({"request_id": "a"}, 400),
        ({"request_id": "a", "label": 7}, 400),
        ({"request_id": "a", "label": "7", "labels": ["7"]}, 400),
        ({"request_id": "a", "labels": ["7"]}, 400),
        ({"request_id": "a", "label": "7", "more": 1}, 400),
        ([], 400),
        ([{"request_id": "a", "label": "7"}] * 201, 400),
        ({"request_id": "a", "label": "7" * 70_000}, 413),
    ],
)
def test_what_cannot_be_taken(browser, service, body, status):
    account, key = customer(service)
    predict(service, account, "a")
    answer = browser.http.post(FEEDBACK, json=body, headers=key)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


def test_what_is_no_json_is_told_where(browser, service):
    _, key = customer(service)
    sent = {"content": '{"label": ', "headers": key | {"content-type": "application/json"}}
    answer = browser.http.post(FEEDBACK, **sent)
    said = {"error": "the body is no JSON: Expecting value at 10", "code": "refused"}
    assert (answer.status_code, answer.json()) == (400, said)


def test_who_may_say_and_see_what(browser, service):
    account, key = customer(service)
    predict(service, account, "a")
    body = {"request_id": "a", "label": "1"}
    assert browser.http.post(FEEDBACK, json=body).status_code == 401
    forged = {"x-account-id": account, "x-key-id": "key_1"}
    assert browser.http.post(FEEDBACK, json=body, headers=forged).status_code == 401
    _, other_key = customer(service, "mallory@example.org")
    assert browser.http.post(FEEDBACK, json=body, headers=other_key).status_code == 404
    _, plain = customer(service, "plain@example.org", ("*",))
    assert browser.http.post(FEEDBACK, json=body, headers=plain).status_code == 403
    assert browser.http.get(f"{FEEDBACK}/accuracy", headers=plain).status_code == 403
    assert browser.http.post(FEEDBACK, json=body, headers=key).status_code == 200
    asked = {"headers": other_key, "params": {"account": account}}
    assert browser.http.get(f"{FEEDBACK}/accuracy", **asked).json() == []
    with service.database.write() as session:
        set_roles(session, "mallory@example.org", ("operator",), "shell")
    (row,) = browser.http.get(f"{FEEDBACK}/accuracy", **asked).json()
    assert (row["count"], row["right"], row["low"]) == (1, 0, 0.0)


def test_accuracy_of_ones_own_and_of_all(browser, service):
    browser.sign_up()
    body = {"email": EMAIL, "password": PASSWORD}
    token = browser.http.post("/api/v1/sessions", json=body).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}
    account, key = customer(service)
    for number in range(3):
        predict(service, account, str(number), revision=str(number % 2))
        said = {"request_id": str(number), "label": "7"}
        assert browser.http.post(FEEDBACK, json=said, headers=key).status_code == 200

    def get(path, **parameters):
        return browser.http.get(f"/api/v1{path}", headers=bearer, params=parameters)

    assert get("/accuracy").json() == get("/confusion", model="mnist").json() == []
    assert get("/operator/accuracy").status_code == 403
    with service.database.write() as session:
        set_roles(session, EMAIL, ("operator",), "shell")
    rows = get("/operator/accuracy", by="revision,account,day").json()
    assert [(row["revision"], row["count"]) for row in rows] == [("0", 2), ("1", 1)]
    assert {row["account_id"] for row in rows} == {account}
    found = get("/operator/confusion", model="mnist", revision="0").json()
    assert found == [{"label": "7", "predicted": "7", "count": 2}]
    assert get("/operator/accuracy", by="hour").status_code == 400


def test_too_many_calls_are_told_to_wait(browser, service, monkeypatch):
    _, key = customer(service)
    monkeypatch.setattr("accounts.routes.feedback.CALLS", Limit("feedback", 2, 60))
    body = {"request_id": "a", "label": "7"}
    answers = [browser.http.post(FEEDBACK, json=body, headers=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert int(answers[2].headers["retry-after"]) > 0


def test_the_page_shows_ones_own_and_operators_everybodys(browser, service):
    browser.sign_up()
    browser.log_in()
    assert "Nothing was said yet" in browser.page("/accuracy")
    assert browser.http.get("/accuracy?whose=all").status_code == 404
    account, key = customer(service)
    for number, label in enumerate(("7", "7", "1")):
        predict(service, account, str(number))
        said = {"request_id": str(number), "label": label}
        assert browser.http.post(FEEDBACK, json=said, headers=key).status_code == 200
    assert "Nothing was said yet" in browser.page("/accuracy")
    with service.database.write() as session:
        set_roles(session, EMAIL, ("operator",), "shell")
    page = browser.page("/accuracy?whose=all")
    assert "66.7 %" in page and "20.8 % to 93.9 %" in page
    assert "1 taken for 7: 1" in page


@pytest.fixture
def keeping(service, tmp_path):
    """The service where customers may let us keep requests."""
    seals = Seals(f"k:{base64.b64encode(bytes(32)).decode()}")
    return replace(
        service, captures=Captures(service.database, FolderStore(tmp_path / "store"), seals)
    )


@pytest.fixture
def keeper(keeping, browser):
    browser.http.close()
    kept = Browser(keeping, browser.mailbox)
    kept.sign_up()
    kept.log_in()
    yield kept
    kept.http.close()


def account_of(browser):
    with browser.service.database.read() as session:
        return session.scalars(select(Account.id).where(Account.email == EMAIL)).one()


def test_a_person_switches_on_and_off_and_deletes(keeper):
    owner = account_of(keeper)
    wish = {"model": "mnist", "percent": "2.5", "mebibytes": "10", "days": "30"}
    wrong = keeper.send("/captures", **{**wish, "days": "91"})
    assert wrong.status_code == 400 and "1 to 90 days" in wrong.text
    assert keeper.send("/captures", **wish).status_code == 303
    assert "2.5 %" in keeper.page("/captures")
    copy = Copy("/v1/models/mnist:predict", "", {}, b"picture")
    for name in ("r1", "r2"):
        assert keeper.service.captures.keep(owner, name, "mnist", copy)
    assert keeper.send("/captures/delete", "/captures").status_code == 400
    assert keeper.send("/captures/delete", "/captures", request_id="r1").status_code == 303
    assert "1 (0.0 MiB)" in keeper.page("/captures")
    assert keeper.send("/captures/stop", "/captures", model="mnist").status_code == 303
    assert not keeper.service.captures.keep(owner, "r3", "mnist", copy)
    assert keeper.send("/captures/delete", "/captures", everything="1").status_code == 303
    assert "Kept now" not in keeper.page("/captures")


def test_programs_do_the_same(keeper):
    owner = account_of(keeper)
    body = {"email": EMAIL, "password": PASSWORD}
    token = keeper.http.post("/api/v1/sessions", json=body).json()["token"]
    bearer = {"authorization": f"Bearer {token}"}

    def ask(method, path, **more):
        return keeper.http.request(method, f"/api/v1/captures{path}", headers=bearer, **more)

    wish = {"percent": 100, "max_bytes": 1 << 20, "days": 1}
    assert ask("PUT", "/choices/mnist", json={**wish, "percent": 0}).status_code == 400
    assert ask("PUT", "/choices/mnist", json=wish).status_code == 204
    copy = Copy("/v1/models/mnist:predict", "", {}, b"picture")
    keeper.service.captures.keep(owner, "r1", "mnist", copy)
    shown = ask("GET", "").json()
    assert shown["choices"] == [{"model": "mnist", **wish}]
    assert [(row["model"], row["size_bytes"]) for row in shown["kept"]] == [("mnist", 7)]
    assert ask("DELETE", "").status_code == 400
    assert ask("DELETE", "", params={"everything": True}).json() == {"deleted": 1}
    assert ask("DELETE", "/choices/mnist").status_code == 204
    assert ask("DELETE", "/choices/mnist").status_code == 404


def test_only_an_operator_reads_what_is_kept_and_that_is_on_record(keeper):
    owner = account_of(keeper)
    with keeper.service.database.write() as session:
        choose(session, owner, Choice("mnist", 100, 1 << 20, 1))
    copy = Copy("/v1/models/mnist:predict", "top_k=1", {"content-type": "image/png"}, b"picture")
    keeper.service.captures.keep(owner, "r1", "mnist", copy)
    _, key = customer(keeper.service, "eve@example.org")
    asked = {"headers": key, "params": {"account": owner, "request_id": "r1"}}
    assert keeper.http.get(f"{FEEDBACK}/captures", **asked).status_code == 403
    assert keeper.http.get(f"{FEEDBACK}/disagreements?model=mnist", headers=key).status_code == 403
    with keeper.service.database.write() as session:
        set_roles(session, "eve@example.org", ("operator",), "shell")
    answer = keeper.http.get(f"{FEEDBACK}/captures", **asked)
    assert answer.content == b"picture"
    assert json.loads(answer.headers["x-captured"])["query"] == "top_k=1"
    with keeper.service.database.read() as session:
        last = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert (last.action, last.account_id, last.detail) == ("capture read", owner, "r1")
    people = keeper.service.people
    people.close(owner, PASSWORD)
    assert keeper.http.get(f"{FEEDBACK}/captures", **asked).status_code == 404


def test_the_listener_keeps_what_the_edge_sends(keeper):
    owner = account_of(keeper)
    with keeper.service.database.write() as session:
        choose(session, owner, Choice("mnist", 100, 1 << 20, 1))
    client = TestClient(capture_app(keeper.service.captures))
    headers = {"x-account-id": owner, "x-request-id": "r1", "content-type": "image/png"}
    path = "/v1/models/mnist:predict?top_k=1"
    assert client.post(path, content=b"picture", headers=headers).status_code == 204
    kept = keeper.service.captures.read(owner, "r1")
    assert kept == Copy(
        "/v1/models/mnist:predict", "top_k=1", {"content-type": "image/png"}, b"picture"
    )
    large = client.post(path, content=bytes(9 << 20), headers={**headers, "x-request-id": "r2"})
    assert large.status_code == 413
    assert client.post("/v1/models", content=b"", headers=headers).status_code == 400
    # The page's own listener takes none.
    assert keeper.http.post(path, content=b"x", headers=headers).status_code == 404

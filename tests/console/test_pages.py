import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from accounts.service import build_service
from accounts.settings import AccountsSettings
from accounts.staff import set_roles
from console.app import create_app
from console.canary import parse_record
from tests.accounts.conftest import Mailbox
from tests.conftest import ROOT
from tests.console.conftest import EMAIL, PASSWORD, Browser
from tests.console.record import ended_record

ANYBODYS = ("/", "/register", "/login", "/reset", "/verify?token=x")
MEMBERS = ("/keys", "/usage", "/invoices", "/account")


@pytest.fixture
def member(browser):
    browser.sign_up()
    browser.log_in()
    return browser


def make_key(browser):
    text = browser.send("/keys", name="laptop", rate_per_second="5").text
    return shown_key(text), text


def shown_key(text):
    """Of the one field that has a key in full."""
    return re.search(r'id="new-key"[^>]* value="(vk_[A-Za-z0-9_-]+)"', text)[1]


def test_members_pages_ask_strangers_to_log_in(browser):
    for path in (*MEMBERS, "/operator", "/invoices/2026-01.pdf"):
        answer = browser.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path


def test_every_page_has_its_headers(member):
    for path in (*ANYBODYS, *MEMBERS, "/static/console.js", "/nothing"):
        headers = member.http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy


def test_no_page_asks_anybody_else_for_anything(member):
    for path in (*ANYBODYS, *MEMBERS):
        text = member.page(path)
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', text), path
        assert " style=" not in text
        assert " onclick=" not in text


@pytest.mark.parametrize("path", [*ANYBODYS, *MEMBERS])
def test_every_field_has_a_label_and_every_page_a_heading(member, path):
    text = member.page(path)
    assert text.count("<h1>") == 1
    assert '<html lang="en">' in text
    labels = set(re.findall(r'<label[^>]* for="([^"]+)"', text))
    for tag in re.findall(r"<(?:input|select)[^>]*>", text):
        if re.search('type="(?:hidden|checkbox)"|aria-label=', tag):
            continue
        assert re.search(r' id="([^"]+)"', tag)[1] in labels, tag


def test_a_key_is_shown_by_one_answer_only(member):
    key, _ = make_key(member)
    assert key not in member.page("/keys")
    assert f"{key[:7]}…{key[-4:]}" in member.page("/keys")


def key_ids(text, action):
    return re.findall(rf"/keys/(key_\w+)/{action}", text)


def test_a_key_is_rotated_and_the_old_one_goes_on_for_a_while(member):
    first, text = make_key(member)
    key_id = key_ids(text, "rotate")[0]
    asked = member.page(f"/keys/{key_id}/rotate")
    assert "The old key works for" in asked
    rotated = member.send(f"/keys/{key_id}/rotate", f"/keys/{key_id}/rotate", overlap="24").text
    second = shown_key(rotated)
    assert second != first
    assert "being replaced" in rotated
    # It is not rotated twice, but can be revoked before its time.
    assert key_id not in key_ids(rotated, "rotate")
    assert key_id in key_ids(rotated, "revoke")
    again = member.send(f"/keys/{key_id}/rotate", "/keys", overlap="24")
    assert again.status_code == 409
    at_once = member.send(f"/keys/{key_ids(rotated, 'rotate')[0]}/rotate", "/keys", overlap="0")
    assert "badge bad" in at_once.text
    assert member.send(f"/keys/{key_id}/rotate", "/keys", overlap="9999").status_code == 400


def test_a_key_is_revoked_after_it_was_asked_about(member):
    _, text = make_key(member)
    for key_id in set(key_ids(text, "revoke")):
        path = f"/keys/{key_id}/revoke"
        assert "This cannot be undone" in member.page(path)
        assert member.send(path, path).headers["location"] == "/keys"
        assert member.http.get(path).status_code == 404
    assert "/revoke" not in member.page("/keys")


@pytest.mark.parametrize("fields", [{"days": "soon"}, {"quota_requests": "-1"}, {"name": " "}])
def test_odd_forms_come_back_with_what_is_wrong(member, fields):
    answer = member.send("/keys", **{"name": "laptop", **fields})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "new-key" not in answer.text


def test_a_form_without_its_token_is_refused(member):
    for path, fields in (
        ("/keys", {"name": "laptop"}),
        ("/logout", {}),
        ("/account/close", {"password": PASSWORD}),
    ):
        for csrf in ({}, {"csrf": "made up"}):
            assert member.http.post(path, data={**fields, **csrf}).status_code == 403, path
    assert "laptop</th>" not in member.page("/keys")


def test_a_form_of_another_site_is_refused(member):
    csrf = re.search(r'name="csrf" value="([^"]+)"', member.page("/keys"))[1]
    data = {"csrf": csrf, "name": "laptop"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert member.http.post("/keys", data=data, headers=headers).status_code == 403
    own = {"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    assert member.http.post("/keys", data=data, headers=own).status_code == 200


def test_a_login_form_of_somebody_elses_visit_is_refused(browser):
    browser.sign_up()
    data = {"email": EMAIL, "password": PASSWORD, "csrf": "x"}
    browser.http.cookies.clear()
    assert browser.http.post("/login", data=data).status_code == 403


def test_cookies_cannot_be_read_by_scripts_nor_sent_by_others(service, tmp_path):
    settings = service.settings.model_copy(
        update={"public_url": "https://vision.example", "development": False}
    )
    mailbox = Mailbox()
    browser = Browser(build_service(settings, mailbox), mailbox)
    browser.http.base_url = "https://vision.example"
    browser.sign_up()
    answer = browser.send("/login", email=EMAIL, password=PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-session=")
    for part in ("httponly", "secure", "samesite=lax", "path=/"):
        assert part in cookie
    assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_too_many_logins_say_when_to_come_back(browser):
    browser.sign_up()
    for _ in range(3):
        assert browser.send("/login", email=EMAIL, password="wrong one").status_code == 401
    answer = browser.send("/login", email=EMAIL, password=PASSWORD)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_what_people_type_is_not_run(browser):
    answer = browser.send("/register", email='"><script>alert(1)</script>', password=PASSWORD)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text


def test_logging_out(member):
    answer = member.send("/logout", "/keys")
    assert answer.headers["location"] == "/"
    assert member.http.get("/keys").headers["location"] == "/login"


def test_a_forgotten_password(browser):
    browser.sign_up()
    said = browser.send("/reset", email=EMAIL).text
    assert "mail is on its way" in said
    assert browser.send("/reset", email="nobody@example.org").text.count("mail is on its way") == 1
    token = browser.mailbox.token()
    path = f"/reset?token={token}"
    answer = browser.send("/reset", path, token=token, password="another password")
    assert answer.headers["location"] == "/login"


def test_the_operators_page_does_not_exist_for_others(member):
    assert member.http.get("/operator").status_code == 404
    with member.service.database.write() as session:
        set_roles(session, EMAIL, ["operator"], "shell")
    assert "Traffic by revision" in member.page("/operator")


def test_operators_see_what_the_last_rollout_was_judged_by(member, monkeypatch):
    with member.service.database.write() as session:
        set_roles(session, EMAIL, ["operator"], "shell")
    monkeypatch.setattr("console.operator.read_canary", lambda _: parse_record(ended_record()))
    page = member.page("/operator")
    assert "No rollout is under way" in page and '"badge warned">refused' in page
    assert page.count("<figure>") == 3 and "2026-11-29 09:20 UTC: slow" in page


def test_the_models_are_offered_whatever_their_task(service):
    settings = AccountsSettings(development=True, models="mnist land-cover=segmentation")
    app = create_app(replace(service, settings=settings))
    with TestClient(app) as client:
        offered = re.findall(r'name="model"[^>]* value="([^"]*)"', client.get("/").text)
    assert offered == ["mnist", "land-cover"]


def test_a_revisions_card_has_a_page_and_its_pictures(service):
    """Of the revisions that this repository ships."""
    settings = AccountsSettings(development=True, models="mnist", model_root=ROOT / "models")
    with TestClient(create_app(replace(service, settings=settings))) as client:
        assert "99.73 % on the test set" in client.get("/").text
        text = client.get("/models/fashion-mnist/1").text
        assert "86.64 % on the test set" in text
        (picture, *_) = re.findall(r'<img src="(/models/[^"]+)"', text)
        answer = client.get(picture)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


@pytest.mark.parametrize(
    "path",
    [
        *("/models/mnist/9", "/models/nothing/1", "/models/mnist/1/model.json"),
        *("/models/mnist/1/weights.safetensors", "/models/mnist/1/..%2f..%2fREADME.md"),
        *("/models/..%2f..%2fmodels/1", "/models/mnist/.hidden", "/models/mnist/%2e%2e"),
    ],
)
def test_nothing_but_cards_and_their_pictures_is_read(service, path):
    settings = AccountsSettings(development=True, models="mnist", model_root=ROOT / "models")
    with TestClient(create_app(replace(service, settings=settings))) as client:
        assert client.get(path).status_code == 404


def test_a_model_without_a_card_is_offered_all_the_same(service, tmp_path):
    broken = tmp_path / "mine" / "1"
    broken.mkdir(parents=True)
    broken.joinpath("model.json").write_text("{")
    settings = AccountsSettings(development=True, models="mine other", model_root=tmp_path)
    with TestClient(create_app(replace(service, settings=settings))) as client:
        assert 'value="other"' in client.get("/").text


def test_who_registered_in_this_browser_is_not_asked_for_the_password(browser):
    browser.send("/register", email=EMAIL, password=PASSWORD)
    token = browser.mailbox.token()
    page = browser.page(f"/verify?token={token}")
    assert 'name="password"' not in page
    assert "data-at-once" in page
    text = browser.send("/verify", f"/verify?token={token}", token=token).text
    assert shown_key(text).startswith("vk_")
    assert "Log out" in text
    assert browser.http.get("/keys").status_code == 200


def test_in_another_browser_the_password_is_asked_for(browser):
    """A link alone proves no password: somebody else may have registered the address."""
    browser.send("/register", email=EMAIL, password="an attacker's own")
    token = browser.mailbox.token()
    browser.http.cookies.clear()
    browser.send("/register", email="other@example.org", password=PASSWORD)
    path = f"/verify?token={token}"
    assert 'name="password"' in browser.page(path)
    answer = browser.send("/verify", path, token=token, password="")
    assert (answer.status_code, "vk_" in answer.text) == (400, False)
    assert browser.http.get("/keys").headers["location"] == "/login"


def test_what_is_wrong_stands_beside_its_field(member):
    text = member.send("/keys", name="laptop", days="soon").text
    field = re.search(r'<input id="days"[^>]*>\s*<p class="wrong" id="([^"]+)">([^<]+)</p>', text)
    assert field[1] == "days-about"
    assert "no whole number." in field[2]
    assert 'aria-invalid="true"' in field[0]

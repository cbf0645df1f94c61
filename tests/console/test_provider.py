import json
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from sqlalchemy import select

from accounts.tables import Account, AuditEntry
from console.app import create_app
from tests.console.conftest import EMAIL, Browser

ISSUER = "https://id.example"
KEY = RSAKey.generate_key(2048, {"kid": "1"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "1"})


class Provider:
    """An OpenID Connect provider behind a transport."""

    def __init__(self):
        self.claims = {"iss": ISSUER, "aud": "vision", "sub": "42", "email": "bob@example.org"}
        self.claims |= {"email_verified": True}
        self.key = KEY
        self.nonce = None
        self.asked = []
        self.down = False

    def answer(self, request):
        self.asked.append(request)
        if self.down:
            return httpx.Response(500)
        if request.url.path.endswith("openid-configuration"):
            names = ("authorization", "token")
            places = {f"{n}_endpoint": f"{ISSUER}/{n}" for n in names}
            return httpx.Response(
                200, json={"issuer": ISSUER, "jwks_uri": ISSUER + "/keys", **places}
            )
        if request.url.path == "/keys":
            return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})
        claims = {**self.claims, "exp": int(time.time()) + 60, "nonce": self.nonce}
        claims |= {k: v for k, v in self.claims.items() if k in ("exp", "nonce")}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return httpx.Response(200, json={"id_token": token})


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def visitor(service, provider):
    settings = service.settings.model_copy(
        update={
            "oidc_issuer": ISSUER,
            "oidc_client_id": "vision",
            "oidc_client_secret": SecretStr("hush"),
            "oidc_groups": "vision:deployer=deployer 8c1f-6a5e=trainer billing=billing",
        }
    )
    own = replace(service, settings=settings)
    browser = Browser(own, service.outbox._mailer)
    browser.http = browser.http.__class__(
        create_app(own, httpx.MockTransport(provider.answer)),
        base_url=str(browser.http.base_url),
        follow_redirects=False,
    )
    return browser


def log_in(visitor, provider, **changes):
    leaving = visitor.http.get("/login/provider")
    query = {k: v[0] for k, v in parse_qs(urlparse(leaving.headers["location"]).query).items()}
    provider.nonce = query["nonce"]
    sent = {"state": query["state"], "code": "c0de", **changes}
    return visitor.http.get("/login/callback", params=sent)


def test_who_comes_back_is_logged_in_and_known_the_next_time(visitor, provider):
    assert "Log in with your organisation" in visitor.page("/login")
    assert log_in(visitor, provider).headers["location"] == "/keys"
    first = visitor.page("/account")
    assert "bob@example.org" in first
    visitor.send("/logout", "/keys")
    provider.claims["email"] = "robert@example.org"
    log_in(visitor, provider)
    assert visitor.page("/account").split("acc_")[1][:16] == first.split("acc_")[1][:16]


def test_the_code_is_bound_to_the_browser(visitor, provider):
    log_in(visitor, provider)
    form = parse_qs(next(r for r in provider.asked if r.url.path == "/token").content.decode())
    assert len(form["code_verifier"][0]) >= 43
    assert form["redirect_uri"] == ["http://localhost:8080/login/callback"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": int(time.time()) - 120},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": ""},
        {"aud": ["vision", "another"]},
        {"aud": ["vision", "another"], "azp": "another"},
        {"azp": "another"},
    ],
    ids=json.dumps,
)
def test_what_is_not_proven_is_refused(visitor, provider, claims):
    provider.claims |= claims
    assert log_in(visitor, provider).status_code == 400
    assert visitor.http.get("/keys").status_code == 303


def test_a_token_for_several_is_taken_if_it_was_made_for_us(visitor, provider):
    provider.claims |= {"aud": ["vision", "another"], "azp": "vision"}
    assert log_in(visitor, provider).headers["location"] == "/keys"


def test_another_key_or_state_is_refused(visitor, provider):
    assert log_in(visitor, provider, state="another").status_code == 400
    assert log_in(visitor, provider, code="").status_code == 400
    provider.key = OTHER_KEY
    assert log_in(visitor, provider).status_code == 400


def test_without_the_cookie_there_is_no_way_in(visitor, provider):
    visitor.http.get("/login/provider")
    visitor.http.cookies.clear()
    answer = visitor.http.get("/login/callback", params={"state": "x", "code": "y"})
    assert answer.status_code == 400


def test_an_address_with_a_password_is_not_taken_over(visitor, provider):
    visitor.sign_up()
    provider.claims["email"] = EMAIL
    answer = log_in(visitor, provider)
    assert answer.status_code == 400
    assert "log in with that" in answer.text


def roles(visitor):
    with visitor.service.database.read() as session:
        return session.scalars(select(Account.role)).one()


def test_groups_are_roles_and_a_group_that_is_left_is_a_role_that_is_gone(visitor, provider):
    provider.claims["groups"] = ["everybody", "vision:deployer", "8c1f-6a5e"]
    log_in(visitor, provider)
    assert roles(visitor) == "deployer trainer"
    provider.claims["groups"] = ["everybody", "billing"]
    log_in(visitor, provider)
    assert roles(visitor) == "billing"
    del provider.claims["groups"]
    log_in(visitor, provider)
    assert roles(visitor) == "user"
    with visitor.service.database.read() as session:
        changed = select(AuditEntry).where(AuditEntry.action == "role changed")
        entries = session.scalars(changed.order_by(AuditEntry.id)).all()
    assert {entry.actor_id for entry in entries} == {"provider"}
    assert [(entry.detail, entry.why) for entry in entries] == [
        ("user to deployer trainer", "groups: 8c1f-6a5e, vision:deployer"),
        ("deployer trainer to billing", "groups: billing"),
        ("billing to user", "in no group with a role"),
    ]


def test_too_many_groups_to_be_named_take_no_role_away(visitor, provider):
    provider.claims["groups"] = ["billing"]
    log_in(visitor, provider)
    visitor.http.cookies.clear()
    del provider.claims["groups"]
    provider.claims["_claim_names"] = {"groups": "src1"}
    answer = log_in(visitor, provider)
    assert answer.status_code == 400
    assert "too many groups" in answer.text
    assert roles(visitor) == "billing"


def test_a_provider_that_is_down_is_said_so(visitor, provider):
    provider.down = True
    answer = visitor.http.get("/login/provider")
    assert answer.status_code == 400
    assert "does not answer" in answer.text


def test_without_a_provider_the_address_does_not_exist(browser):
    assert browser.http.get("/login/provider").status_code == 404
    assert "organisation" not in browser.page("/login")

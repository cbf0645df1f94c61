"""Whatever is sent to pages and API, none of it is a fault of ours."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from accounts import passwords
from accounts.service import build_service
from accounts.settings import AccountsSettings
from accounts.staff import set_roles
from console.app import create_app
from tests.accounts.conftest import Mailbox
from tests.console.conftest import EMAIL, PASSWORD, SITE, sqlite_template  # noqa: F401

EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    # A machine that others keep busy is slow at making them, too.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ODD = st.sampled_from(
    (
        *("", "\ud800", "a\udfff@b.cd", "\x00", "0001-01", "2026-1", "9999-12", "2026-13", "=1+1"),
        *(
            "9" * 20,
            "-1",
            "1e400",
            "NaN",
            "٣",
            "²",
            "a" * 5000,
            "'; --",
            "../..",
            "%0a",
            "<b>",
            "💥",
        ),
    )
)
TEXT = st.one_of(ODD, st.text(max_size=20), st.text(st.characters(), max_size=8))
JSON = st.recursive(
    st.one_of(TEXT, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = ("email", "password", "token", "old", "new", "name", "scopes", "days", "csrf")
FIELDS += ("quota_requests", "rate_per_second", "state", "code", "month", "form", "from", "to")
FIELDS += ("size", "span", "verified")
POSTS = ("/register", "/verify", "/login", "/logout", "/reset", "/keys", "/account/password")
POSTS += ("/account/close", "/account/x", "/keys/x/rotate", "/keys/x/revoke", "/keys/x/y", "/")
API_POSTS = ("registrations", "verifications", "sessions", "account/password", "account/closing")
API_POSTS += ("keys", "keys/x/rotation", "nothing")
GETS = ("/", "/register", "/verify", "/login", "/reset", "/keys", "/usage", "/invoices", "/account")
GETS += ("/operator", "/healthz", "/static/console.js", "/login/provider", "/login/callback")
GETS += tuple(f"/api/v1/{name}" for name in ("account", "keys", "usage", "events", "invoices"))
GETS += tuple(f"/api/v1/operator/{name}" for name in ("accounts", "revisions", "events"))


class Attacker:
    """Somebody who is logged in as an operator, so that every line is reached."""

    def __init__(self, http: TestClient, token: str) -> None:
        self.http = http
        self.token = token

    def send(self, method: str, url: str, body: bytes = b"", **headers: str) -> None:
        # Whole, for the client takes two slashes at the beginning of a path for a host.
        url = f"{self.http.base_url}{url}"
        answer = self.http.request(
            method, url, content=body, headers={"authorization": f"Bearer {self.token}", **headers}
        )
        assert answer.status_code < 500, (method, url, body, headers, answer.text)
        is_json = answer.headers.get("content-type") == "application/json"
        if is_json and answer.status_code >= 400 and method != "HEAD":
            assert {"error", "code"} <= set(answer.json()) <= {"error", "code", "field"}

    def form_token(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.http.get("/keys").text)
        return found[1] if found else ""


@pytest.fixture(scope="module")
def attacker(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,  # noqa: F811
) -> Iterator[Attacker]:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(sqlite_template, folder / "accounts.db")
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    own = AccountsSettings(
        development=True,
        public_url=SITE,
        database_url=f"sqlite:///{folder}/accounts.db",  # type: ignore[arg-type]
        login_attempts=10**6,
        client_login_attempts=10**6,
        account_login_attempts=10**6,
        registration_attempts=10**6,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", cheap)
        patch.setattr(passwords, "_NOBODYS_HASH", cheap.hash("nobody's"))
        mailbox = Mailbox()
        service = build_service(own, mailbox)
        mailbox.outbox = service.outbox
        service.people.register(EMAIL, PASSWORD, "x")
        service.people.verify(mailbox.token(), PASSWORD)
        with service.database.write() as session:
            set_roles(session, EMAIL, ["operator"], "shell")
        token = service.people.log_in(EMAIL, PASSWORD, "x").token
        http = TestClient(create_app(service), SITE, False, follow_redirects=False)
        http.cookies.set("session", token)
        yield Attacker(http, token)
        http.close()


@EXAMPLES
@given(path=st.sampled_from(POSTS), fields=st.dictionaries(st.sampled_from(FIELDS), TEXT))
def test_forms(attacker: Attacker, path: str, fields: dict[str, str]) -> None:
    values = {"csrf": attacker.form_token(), **fields}
    body = urlencode(values, errors="surrogatepass").encode()
    attacker.send("POST", path, body, **{"content-type": "application/x-www-form-urlencoded"})
    attacker.http.cookies.set("session", attacker.token)


@EXAMPLES
@given(
    path=st.sampled_from(POSTS),
    content_type=st.sampled_from(
        (
            *("multipart/form-data", "multipart/form-data; boundary=b", "text/plain", ""),
            *("multipart/form-data; charset=x", "multipart/form-data; boundary=b; charset=utf-16"),
            "application/json",
        )
    ),
    body=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda name, value: (
                b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n--b--'
                % (name, value)
            ),
            st.binary(max_size=20),
            st.binary(max_size=20),
        ),
    ),
)
def test_other_bodies(attacker: Attacker, path: str, content_type: str, body: bytes) -> None:
    attacker.send("POST", path, body, **{"content-type": content_type})


@EXAMPLES
@given(
    path=st.sampled_from(API_POSTS),
    document=st.one_of(st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXT), JSON), JSON),
)
def test_documents(attacker: Attacker, path: str, document: object) -> None:
    body = json.dumps(document).encode()
    attacker.send("POST", f"/api/v1/{path}", body, **{"content-type": "application/json"})


@EXAMPLES
@given(path=st.sampled_from(API_POSTS), body=st.binary(max_size=100))
def test_what_is_no_document(attacker: Attacker, path: str, body: bytes) -> None:
    attacker.send("POST", f"/api/v1/{path}", body, **{"content-type": "application/json"})


@EXAMPLES
@given(path=st.sampled_from(GETS), query=st.dictionaries(st.sampled_from(FIELDS), TEXT))
def test_queries(attacker: Attacker, path: str, query: dict[str, str]) -> None:
    attacker.send("GET", f"{path}?{urlencode(query, errors='surrogatepass')}")


@EXAMPLES
@given(
    parts=st.lists(TEXT, min_size=1, max_size=3),
    root=st.sampled_from(["", "/invoices", "/api/v1/invoices", "/keys", "/static", "/api/v1/keys"]),
    ending=st.sampled_from(["", ".pdf", ".csv", ".json", "?form=pdf", "/rotation"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"]),
)
def test_paths(attacker: Attacker, parts: list[str], root: str, ending: str, method: str) -> None:
    tail = "/".join(quote(part, safe="", errors="surrogatepass") for part in parts)
    attacker.send(method, f"{root}/{tail}{ending}")


@EXAMPLES
@given(
    name=st.sampled_from(
        (
            *("authorization", "cookie", "host", "origin", "content-length", "content-type"),
            *("x-forwarded-for", "sec-fetch-site", "accept", "range"),
        )
    ),
    value=st.binary(max_size=60).filter(lambda value: not re.search(rb"[\r\n\0]", value)),
)
def test_headers(attacker: Attacker, name: str, value: bytes) -> None:
    for method, path in (("GET", "/keys"), ("GET", "/static/style.css"), ("POST", "/login")):
        answer = attacker.http.request(method, path, headers=[(name.encode(), value)])
        assert answer.status_code < 500, (method, path, name, value, answer.text)


@pytest.mark.parametrize(
    ("method", "url", "document"),
    [
        ("GET", "/invoices/0001-01.pdf", None),
        ("GET", "/api/v1/invoices/0001-01", None),
        ("GET", "/usage?month=9999-12", None),
        ("GET", "/api/v1/usage?from=99999999999999999999", None),
        ("GET", "/api/v1/events?to=-99999999999999999999", None),
        ("POST", "/api/v1/sessions", {"email": "\ud800@b.cd", "password": "\ud800"}),
        ("POST", "/api/v1/sessions", {"\ud800": 1}),
        ("POST", "/api/v1/registrations", {"email": "a@b.\udc00", "password": "\ud800" * 12}),
        ("POST", "/api/v1/verifications", {"token": "\ud800", "password": "x"}),
        ("POST", "/api/v1/keys", {"name": "\ud800"}),
        ("POST", "/api/v1/keys", {"name": "k", "quota_requests": 10**400}),
        ("POST", "/api/v1/keys", {"name": "k", "days": 1e308}),
    ],
)
def test_what_was_a_fault_of_ours_once(
    attacker: Attacker, method: str, url: str, document: object
) -> None:
    body = b"" if document is None else json.dumps(document).encode()
    attacker.send(method, url, body, **{"content-type": "application/json"})
    attacker.http.cookies.set("session", attacker.token)

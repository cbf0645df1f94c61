"""The web process, in-process."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from accounts.service import Service, build_service
from accounts.settings import AccountsSettings
from console.app import create_app
from tests.accounts.conftest import Mailbox, sqlite_template  # noqa: F401

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SITE = "http://localhost:8080"


class Browser:
    """A client that fills forms in as people do: with what is hidden in them."""

    def __init__(self, service: Service, mailbox: Mailbox) -> None:
        self.http = TestClient(create_app(service), base_url=SITE, follow_redirects=False)
        self.service = service
        self.mailbox = mailbox
        mailbox.outbox = service.outbox

    def page(self, path: str) -> str:
        answer = self.http.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def send(self, path: str, page: str | None = None, **fields: object):
        """Send a form of the page (``path`` if not given) to ``path``."""
        text = self.page(page or path)
        csrf = re.search(r'name="csrf" value="([^"]+)"', text)
        assert csrf is not None, "no form on the page"
        return self.http.post(path, data={"csrf": csrf[1], **fields})

    def sign_up(self, email: str = EMAIL) -> None:
        self.send("/register", email=email, password=PASSWORD)
        token = self.mailbox.token()
        answer = self.send("/verify", f"/verify?token={token}", token=token, password=PASSWORD)
        assert answer.headers["location"] == "/login?verified=1"

    def log_in(self, email: str = EMAIL) -> None:
        answer = self.send("/login", email=email, password=PASSWORD)
        assert answer.headers["location"] == "/keys"


@pytest.fixture
def service(
    tmp_path: Path,
    cheap_passwords: None,
    sqlite_template: Path,  # noqa: F811
) -> Iterator[Service]:
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'accounts.db')}"
    settings = AccountsSettings(
        development=True,
        public_url=SITE,
        database_url=url,
        login_attempts=3,  # type: ignore[arg-type]
    )
    yield build_service(settings, Mailbox())


@pytest.fixture
def browser(service: Service) -> Iterator[Browser]:
    mailbox = service.outbox._mailer
    assert isinstance(mailbox, Mailbox)
    browser = Browser(service, mailbox)
    yield browser
    browser.http.close()

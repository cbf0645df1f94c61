"""The web process, in-process; and all of ``make up`` with somebody at a browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from selenium import webdriver
from starlette.testclient import TestClient

from accounts.service import Service, build_service
from accounts.settings import AccountsSettings
from common.errors import StartError
from common.ports import free_row
from common.processes import Processes
from console.app import create_app
from edge.processes import envoy_program
from edge.up import start
from tests.accounts.conftest import Mailbox, sqlite_template  # noqa: F401
from tests.console.person import SECONDS, Person
from tests.console.record import record, served
from tests.needs import missing

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
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
        assert "Your first key" in answer.text
        self.http.cookies.clear()

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


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[str]:
    """Everything that ``make up`` starts, while a rollout is under way somewhere."""
    try:
        envoy_program()
    except StartError as error:
        missing("envoy", str(error))
    port = free_row(4).start
    with (
        served(record()) as url,
        patch.dict(os.environ, {"VISION_ROLLOUT_URL": url}),
        Processes(folder / "logs") as processes,
    ):
        start(processes, port, f"sqlite:///{folder}/accounts.db")
        yield f"http://localhost:{port}"


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """``SCREENSHOTS=docs/console`` keeps what the pages look like."""
    if not (name := os.environ.get("SCREENSHOTS")):
        return None
    pictures = Path(name)
    pictures.mkdir(parents=True, exist_ok=True)
    return pictures


@pytest.fixture(scope="module")
def person(
    site: str, pictures: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    """At a browser of their own."""
    with at_browser(site, pictures, tmp_path_factory.mktemp("profile")) as person:
        yield person


@contextmanager
def at_browser(site: str, pictures: Path | None, profile: Path) -> Iterator[Person]:
    """Somebody who looks at a site; skips where no browser is installed."""
    for program in (CHROMIUM, DRIVER):
        if not program.exists():
            missing("browser", f"{program} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--hide-scrollbars", "--force-color-profile=srgb"),
    ):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(SECONDS)
    driver.set_script_timeout(SECONDS)
    try:
        yield Person(driver, site, pictures)
    finally:
        driver.quit()

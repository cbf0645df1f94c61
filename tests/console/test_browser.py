"""A person's way through the service, in headless Chromium, on real models.

``SCREENSHOTS=docs/console`` keeps a picture of each page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from accounts.database import Database, open_database
from accounts.keys import KeyRequest, make_key
from accounts.people import OPERATOR, set_role
from common.errors import StartError
from common.ports import free_row
from common.processes import Processes
from edge.processes import envoy_program
from edge.up import start
from tests.accounts.conftest import add_account
from tests.conftest import ROOT
from tests.needs import missing
from tests.waiting import wait_until

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SECONDS = 30


class Person:
    """Somebody at a browser."""

    def __init__(self, driver: webdriver.Chrome, site: str, folder: Path) -> None:
        self.driver = driver
        self.site = site
        self._folder = folder

    def go(self, path: str) -> None:
        self.driver.get(self.site + path)

    def type(self, name: str, text: str) -> None:
        field = self.driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)

    def press(self, label: str) -> None:
        """And wait for the page that it leads to."""
        self.driver.execute_script("window.left = false")
        self.driver.find_element(By.XPATH, f"//main//button[normalize-space()='{label}']").click()
        self._wait(
            lambda d: d.execute_script(
                "return window.left === undefined && document.readyState === 'complete'"
            )
        )

    def text(self, css: str) -> str:
        """Of an element, once it has some."""
        find = (By.CSS_SELECTOR, css)
        return str(self._wait(lambda d: d.find_element(*find).text))

    def _wait(self, condition: Callable[[webdriver.Chrome], Any]) -> Any:
        # Between two pages Chromium fails in many ways.
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=[WebDriverException])
        return wait.until(condition)

    def picture(self, name: str) -> None:
        """Keep what the page looks like, wide, on a phone, and in the dark."""
        sizes = {"": (1100, 900, False), "-phone": (390, 844, False), "-dark": (1100, 900, True)}
        for suffix, (width, height, dark) in sizes.items():
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self._devtools("Emulation.setEmulatedMedia", features=[scheme])
            self._devtools(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=width < 500,
            )
            wide = self.driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, f"{name}{suffix} is {wide} pixels wide"
            if not suffix or name in ("try", "usage"):
                self.driver.save_screenshot(str(self._folder / f"{name}{suffix}.png"))
        self._devtools("Emulation.clearDeviceMetricsOverride")
        self._devtools("Emulation.setEmulatedMedia", features=[])

    def complaints(self) -> list[str]:
        """What the browser had to say of scripts, policies and missing files."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked_hosts(self) -> set[str]:
        names: list[str] = self.driver.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        return {re.match(r"(?:blob:)?(https?://[^/]+)", name)[1] for name in names}  # type: ignore[index]

    def _devtools(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """Everything that ``make up`` starts."""
    for program in (CHROMIUM, DRIVER):
        if not program.exists():
            missing("browser", f"{program} is not installed")
    try:
        envoy_program()
    except StartError as error:
        missing("envoy", str(error))
    port = free_row(4).start
    with Processes(folder / "logs") as processes:
        start(processes, port, f"sqlite:///{folder}/accounts.db")
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def person(site: str, folder: Path) -> Iterator[Person]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}/profile")
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    driver.set_page_load_timeout(SECONDS)
    pictures = Path(os.environ.get("SCREENSHOTS") or folder / "pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    yield Person(driver, site, pictures)
    driver.quit()


@pytest.fixture
def key(person: Person, folder: Path) -> str:
    """A key of somebody else's, in the browser's tab."""
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Database(engine).write() as session:
        account = add_account(session, f"{time.monotonic_ns()}@example.org")
        shown = make_key(session, account.id, KeyRequest("browser"))
    engine.dispose()
    person.go("/")
    person.driver.execute_script("sessionStorage.setItem('vision-key', arguments[0])", shown.key)
    return shown.key


def mailed_link(folder: Path) -> str:
    """The path of the last link that was printed in the log."""

    def links() -> list[str]:
        log = (folder / "logs" / "console.log").read_text()
        return re.findall(r"/verify\?token=[\w-]+", log)

    # Mail is sent after the page is answered.
    wait_until(lambda: bool(links()), SECONDS)
    return links()[-1]


def draw_seven(person: Person) -> None:
    canvas = person.driver.find_element(By.ID, "canvas")
    actions = ActionChains(person.driver, duration=20)
    actions.move_to_element_with_offset(canvas, -60, -80).click_and_hold()
    for x, y in ((-20, -80), (20, -80), (60, -80), (40, -30), (15, 20), (-5, 60), (-15, 90)):
        actions.move_to_element_with_offset(canvas, x, y)
    actions.release().perform()


def test_from_signing_up_to_the_bill(person: Person, folder: Path) -> None:
    person.go("/register")
    person.picture("sign-up")
    person.type("email", EMAIL)
    person.type("password", PASSWORD)
    person.press("Sign up")
    assert EMAIL in person.text("[role=status]")
    person.go(mailed_link(folder))
    person.type("password", PASSWORD)
    person.press("Confirm")
    person.type("email", EMAIL)
    person.type("password", PASSWORD)
    person.picture("log-in")
    person.press("Log in")

    person.type("name", "laptop")
    person.press("Make the key")
    key = person.text("#new-key")
    assert key.startswith("vk_")
    # A picture of a key that works has no place in a document.
    hide = "document.getElementById('new-key').textContent = 'vk_…'"
    person.driver.execute_script(hide)
    person.picture("keys")
    person.driver.execute_script(
        "document.getElementById('new-key').textContent = arguments[0]", key
    )
    person.press("Try it in this browser")

    draw_seven(person)
    person.driver.find_element(By.ID, "send").click()
    assert person.text("#label") == "7"
    assert "mnist, revision 1" in person.text("#from")
    assert person.text("#bars tr:first-child th") == "7"
    assert person.asked_hosts() == {person.site}
    command = person.text("#curl")
    shown = command.replace(key, "vk_…")
    person.driver.execute_script(
        "document.getElementById('curl').textContent = arguments[0]", shown
    )
    person.picture("try")
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(done.stdout)["predictions"][0]["label"] == "7"

    person.go("/usage")
    assert person.text("#total-requests") == "2"
    person.picture("usage")
    rows = person.driver.find_elements(By.CSS_SELECTOR, "main .scroll:last-of-type tbody tr")
    assert len(rows) == 2

    person.go("/invoices")
    amounts = [cell.text for cell in person.driver.find_elements(By.CSS_SELECTOR, ".amount")]
    assert len(amounts) == 3
    total = person.text("#total")
    assert sum(Decimal(a.split()[0]) for a in amounts) == Decimal(total.split()[0])
    person.picture("bills")
    person.go("/account")
    person.picture("account")
    assert person.complaints() == []


def test_a_picture_is_chosen_and_a_wrong_key_is_said(person: Person, key: str) -> None:
    person.go("/")
    chooser = person.driver.find_element(By.ID, "file")
    chooser.send_keys(str(ROOT / "samples" / "shirt.png"))
    person.driver.find_element(By.CSS_SELECTOR, "#model option[value=fashion-mnist]").click()
    person.driver.find_element(By.ID, "send").click()
    assert person.text("#label") == "Shirt"
    assert "--data-binary '@shirt.png'" in person.text("#curl")
    field = person.driver.find_element(By.ID, "key")
    assert field.get_attribute("value") == key
    field.clear()
    field.send_keys("vk_wrong")
    person.driver.find_element(By.ID, "send").click()
    assert "API key" in person.text("#problem")
    person.complaints()


def test_everything_is_done_with_the_keyboard(person: Person, key: str) -> None:
    """Tab reaches the canvas, where arrows and the space bar draw a one; Enter asks."""
    person.go("/")
    seen = []
    for _ in range(30):
        person.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = person.driver.switch_to.active_element
        seen.append(focused.get_attribute("id"))
        if seen[-1] == "canvas":
            break
    assert seen[-1] == "canvas"
    canvas = person.driver.switch_to.active_element
    canvas.send_keys(*[Keys.ARROW_UP] * 9, Keys.SPACE, *[Keys.ARROW_DOWN] * 18, Keys.SPACE)
    assert person.text("#pen") == "Pen up at 140, 230."
    person.driver.find_element(By.ID, "key").send_keys(Keys.ENTER)
    assert person.text("#label") == "1"


def test_a_segmentation_is_laid_over_the_picture(person: Person) -> None:
    """With the page's own script, and an answer put in place of a model's."""
    person.go("/")
    person.driver.find_element(By.ID, "file").send_keys(str(ROOT / "samples" / "seven.png"))
    person.driver.execute_script(
        """
        const picture = document.createElement("canvas");
        window.fetch = async (url, options) => {
          window.accepted = options.headers.accept;
          return new Response(await new Promise((done) => picture.toBlob(done)));
        };
        """
    )
    person.driver.find_element(By.ID, "key").send_keys("vk_any")
    person.driver.find_element(By.ID, "send").click()
    assert person.text("#label") == "Map"
    overlay = person.driver.find_element(By.ID, "overlay")
    assert overlay.is_displayed()
    assert person.driver.execute_script("return window.accepted").startswith("image/png,")
    slider = person.driver.find_element(By.ID, "slider")
    before = float(overlay.value_of_css_property("opacity"))
    slider.send_keys(*[Keys.ARROW_LEFT] * 30)
    deadline = time.monotonic() + 5
    while float(overlay.value_of_css_property("opacity")) > before - 0.25:
        assert time.monotonic() < deadline


def test_an_operator_sees_the_split_of_traffic(person: Person, folder: Path) -> None:
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Database(engine).write() as session:
        set_role(session, EMAIL, OPERATOR, "shell")
    engine.dispose()
    person.go("/operator")
    assert "100.0 %" in person.text("main table")
    assert "Windows less billed events: 0" in person.text("main > p:last-of-type")
    person.picture("operator")
    assert person.complaints() == []

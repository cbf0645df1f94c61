"""A person's way from signing up to the bill, in headless Chromium, on real models.

``SCREENSHOTS=docs/console`` keeps pictures of each page.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from selenium.webdriver.common.by import By

from accounts.database import Database, open_database
from accounts.people import OPERATOR, set_role
from tests.console.conftest import EMAIL, PASSWORD
from tests.console.person import SECONDS, Person
from tests.waiting import wait_until


def mailed_link(folder: Path) -> str:
    """The path of the last link that was printed in the log."""

    def links() -> list[str]:
        log = (folder / "logs" / "console.log").read_text()
        return re.findall(r"/verify\?token=[\w-]+", log)

    # Mail is sent after the page is answered.
    wait_until(lambda: bool(links()), SECONDS)
    return links()[-1]


def test_from_signing_up_to_the_bill(person: Person, folder: Path) -> None:
    person.go("/register")
    person.type("email", EMAIL)
    person.type("password", PASSWORD)
    person.press("Sign up")
    assert EMAIL in person.text("main [role=status]")
    person.go(mailed_link(folder))
    person.type("password", PASSWORD)
    person.press("Confirm")
    person.type("email", EMAIL)
    person.type("password", PASSWORD)
    person.press("Log in")

    person.type("name", "laptop")
    person.press("Make the key")
    key = person.driver.find_element(By.ID, "new-key").get_attribute("value")
    assert key.startswith("vk_")
    person.press("Try it in this browser")
    person.draw()
    assert person.text("#label") == "7"
    assert person.text("#tries-left") == "Answered with your key."

    person.go("/usage")
    assert person.text("#total-requests") == "1"
    rows = person.driver.find_elements(By.CSS_SELECTOR, "main .scroll:last-of-type tbody tr")
    assert len(rows) == 1

    person.go("/invoices")
    amounts = [cell.text for cell in person.driver.find_elements(By.CSS_SELECTOR, ".amount")]
    assert len(amounts) == 3
    total = person.text("#total")
    assert sum(Decimal(a.split()[0]) for a in amounts) == Decimal(total.split()[0])
    person.go("/account")
    assert person.complaints() == []


def test_an_operator_sees_the_split_of_traffic(person: Person, folder: Path) -> None:
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Database(engine).write() as session:
        set_role(session, EMAIL, OPERATOR, "shell")
    engine.dispose()
    person.go("/operator")
    assert "100.0 %" in person.text("main table")
    assert "Windows less billed events: 0" in person.text("main > p:last-of-type")
    assert person.complaints() == []

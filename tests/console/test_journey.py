"""A person's way from signing up to the bill, in headless Chromium, on real models.

``SCREENSHOTS=docs/console`` keeps pictures of each page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from decimal import Decimal
from pathlib import Path

from selenium.webdriver.common.by import By

from accounts.database import Database, open_database
from accounts.staff import set_roles
from tests.conftest import ROOT
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


def test_from_signing_up_to_a_curl_with_a_key_and_to_the_bill(
    person: Person, folder: Path, tmp_path: Path
) -> None:
    """Three screens: the form, the mail's notice, and the key with its command."""
    person.go("/")
    person.click("nav a[href='/register']")
    person.text("form.card h1, main h1")
    person.clicks = 0
    person.look("sign-up")
    person.go("/login")
    person.look("log-in")
    person.go("/register")
    started = time.monotonic()
    person.type("email", EMAIL)
    person.type("password", PASSWORD)
    person.press("Sign up")
    screens = 2
    assert EMAIL in person.text("main [role=status]")
    took = time.monotonic() - started
    person.look("sign-up-mail")
    started = time.monotonic()
    link = mailed_link(folder)
    person.driver.execute_script("window.leaving = false")
    person.go(link)
    # The page of the link sends its form by itself.
    field = person.wait(lambda d: d.find_element(By.ID, "new-key"))
    screens += 1
    assert screens <= 3
    key = field.get_attribute("value")
    command = person.text("#curl")
    shutil.copy(ROOT / "samples" / "seven.png", tmp_path / "picture.png")
    done = subprocess.run(
        ["bash", "-c", f"{command} -s"],
        cwd=tmp_path,
        env={**os.environ, "KEY": key},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["predictions"]
    took += time.monotonic() - started
    print(f"{screens} screens, {person.clicks} click, {took:.1f} s besides reading the mail")
    person.click("[data-reveal=new-key]")
    assert field.get_attribute("type") == "text"
    # A picture of a key that works has no place in a document.
    person.driver.execute_script("arguments[0].value = 'vk_…'", field)
    person.look("key")
    person.press("Try it in this browser")
    person.draw()
    assert person.text("#label") == "7"
    assert person.text("#tries-left") == "Answered with your key."
    person.click("#right")
    assert person.text("#thanks") == "Thank you, that is on record."
    person.look("try-feedback")

    person.go("/keys")
    person.click("[aria-label='Rotate first key']")
    assert "Rotate first key?" in person.text("h1")
    person.look("rotate")
    person.press("Make the new key")
    assert person.text("#shown-title") == "Your new key"
    assert "being replaced" in person.text("main table")
    person.driver.execute_script("document.getElementById('new-key').value = 'vk_…'")
    person.look("keys")

    person.go("/usage")
    assert person.text("#total-requests") == "2"
    assert person.texts(".allowance .row span:last-child")[0] == "998 of 1000 left"
    person.look("usage")

    person.go("/accuracy")
    assert person.texts("td[data-label=Of]")[0] == "1"
    assert person.text("td[data-label='95 % sure']").endswith("100.0 %")
    person.look("accuracy")

    person.go("/invoices")
    amounts = [Decimal(text.split()[0]) for text in person.texts(".amount")]
    assert len(amounts) == 3
    net, vat, total = (Decimal(person.text(f"#{n}").split()[0]) for n in ("net", "vat", "total"))
    assert (sum(amounts), net + vat) == (net, total)
    person.look("bills")
    person.go("/account")
    person.look("account")
    person.go("/nothing-here")
    person.look("problem")
    assert all("404" in said for said in person.complaints())


def test_an_operator_sees_the_split_of_traffic(person: Person, folder: Path) -> None:
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Database(engine).write() as session:
        set_roles(session, EMAIL, ["operator"], "shell")
    engine.dispose()
    person.go("/operator")
    shares = person.texts("td[data-label=Share]")
    assert shares and all(share.startswith("100.0 %") for share in shares)
    assert "Windows less billed events: 0" in person.text("#reconciliation")
    assert EMAIL in person.texts("td[data-label=Address]")
    person.look("operator")
    assert person.complaints() == []

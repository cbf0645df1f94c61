"""Pages for running it for customers, looked at in headless Chromium: what they show is made up.

``SCREENSHOTS=docs/console`` keeps pictures of each.
"""

from __future__ import annotations

import base64
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from accounts import captures, domains, experiments
from accounts.clock import DAY_MS, HOUR_MS, now_ms
from accounts.experiments import Plan, Shadow, Variant
from accounts.passwords import Passwords
from accounts.seals import KEY_BYTES
from accounts.service import Service, build_service
from accounts.settings import AccountsSettings
from accounts.shadows import Example, Tally, add
from accounts.staff import set_roles
from accounts.tables import Account, Capture, Domain, Event, Experiment, Feedback
from common.ports import free_row
from console.app import create_app
from tests.accounts.conftest import Mailbox, add_account, sqlite_template  # noqa: F401
from tests.console.conftest import EMAIL, PASSWORD, at_browser
from tests.console.person import Person
from tests.waiting import wait_until

PEOPLE = {"grace@example.org": ["deployer"], "joan@example.org": ["viewer", "billing"]}
TARGET = "http://{}-vision-predictor.vision.svc.cluster.local"
SECONDS = 30.0


def fill(session: Session, account: Account) -> None:
    """What the pages show."""
    set_roles(session, EMAIL, ["operator"], "shell", "runs the service")
    for email, roles in PEOPLE.items():
        add_account(session, email)
        set_roles(session, email, roles, account.id, "on call from December on")
    add_domains(session, account)
    add_experiments(session, account)
    add_answers(session, account)
    add_captures(session, account)


def add_domains(session: Session, account: Account) -> None:
    for name, state, rate in (
        ("pictures.customer-a.example", domains.ACTIVE, 50),
        ("vision.customer-a.example", domains.PENDING, None),
    ):
        domains.add(session, account.id, name, "vision.example", rate_per_second=rate)
        values = {"state": state, "due_ms": now_ms() + DAY_MS, "token": "a-token-that-proves-it"}
        if state == domains.PENDING:
            values["problem"] = f"DNS has no TXT record _vision-challenge.{name}"
        session.execute(update(Domain).where(Domain.name == name).values(**values))


def add_experiments(session: Session, account: Account) -> None:
    variants = (
        Variant("control", "1", TARGET.format("prev")),
        Variant("new", "2", TARGET.format("latest")),
    )
    shadow = Shadow("3", TARGET.format("next"), 20)
    plan = Plan("new-shirt", "fashion-mnist", variants, "customer", 50, shadow)
    experiments.start(session, replace(plan, name="first-try"), account.id, "a first look")
    experiments.stop(session, "first-try", account.id, "too few customers")
    experiments.start(session, plan, account.id, "better on shirts")
    session.execute(update(Experiment).values(shares_ms=now_ms() - 3 * DAY_MS))
    rng = random.Random(0)
    zeros = ("attempt_id", "pixels", "request_bytes", "response_bytes", "withheld")
    common = dict.fromkeys((*zeros, "unanswered_milliseconds"), 0)
    common |= dict.fromkeys(("attempts", "answers", "instances"), 1)
    common |= {"account_id": "acc", "content": "", "state": "billed", "key_id": "key"}
    common |= {"model": "fashion-mnist", "status": 200, "experiment": "new-shirt"}
    rows = []
    for subject in range(600):
        variant = variants[rng.random() < 0.5]
        slower = 3 if variant.name == "new" else 0
        for number in range(rng.randint(2, 12)):
            own = {"request_id": f"{subject}-{number}", "subject": str(subject)}
            own |= {"variant": variant.name, "revision": variant.revision}
            own |= {"milliseconds": rng.randint(8, 22) + slower, "unsure": int(rng.random() < 0.04)}
            rows.append({**common, **own, "started_ms": now_ms() - HOUR_MS})
    session.execute(insert(Event), rows)
    examples = [
        Example("6f1c2b9a0d3e4f58", "Shirt", "T-shirt/top", 0.31),
        Example("a83d90b1c2e74f06", "Coat", "Pullover", 0.12),
    ]
    tally = Tally(412, 398, 0, 1, 0, 3, 0.42, 412 * 14.2, 412 * 15.0, 412 * 0.8, 412 * 20.0)
    tally.examples = examples
    add(session, "new-shirt", tally)


def add_answers(session: Session, account: Account) -> None:
    """Right answers that the account has given."""
    rng = random.Random(1)
    names = ("T-shirt/top", "Trouser", "Pullover", "Coat", "Shirt")
    for number in range(240):
        label = names[number % len(names)]
        wrong = rng.random() < 0.1
        predicted = names[(number + 2) % len(names)] if wrong else label
        at = now_ms() - (number % 3) * DAY_MS - HOUR_MS
        own = {"account_id": account.id, "request_id": f"said-{number}", "instance": 0}
        session.add(
            Feedback(
                **own,
                model="fashion-mnist",
                revision="2",
                predicted=predicted,
                label=label,
                unsure=wrong,
                probability=0.8,
                predicted_ms=at,
                words=1,
                given_ms=at,
            )
        )


def add_captures(session: Session, account: Account) -> None:
    captures.choose(session, account.id, captures.Choice("mnist", 2.5, 100 << 20, 30))
    for number in range(37):
        session.add(
            Capture(
                account_id=account.id,
                request_id=f"kept-{number}",
                model="mnist",
                object=f"captures/{number}",
                size_bytes=81_000,
                key_id="k",
                wrapped="",
                at_ms=now_ms() - DAY_MS,
                expires_ms=now_ms() + 29 * DAY_MS,
            )
        )


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,  # noqa: F811
) -> Iterator[Service]:
    """Served, with all of that in it."""
    folder = tmp_path_factory.mktemp("customers")
    shutil.copy(sqlite_template, folder / "accounts.db")
    settings = AccountsSettings(
        development=True,
        public_url=f"http://localhost:{free_row(1).start}",
        models="mnist=2 fashion-mnist=2",
        database_url=SecretStr(f"sqlite:///{folder}/accounts.db"),
        capture_store=str(folder / "captures"),
        capture_keys=SecretStr(f"k:{base64.b64encode(bytes(KEY_BYTES)).decode()}"),
    )
    service = build_service(settings, Mailbox())
    with service.database.write() as session:
        account = add_account(session, EMAIL)
        account.password_hash = Passwords().hash(PASSWORD)
        fill(session, account)
    port = int(settings.public_url.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(create_app(service), "127.0.0.1", port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, SECONDS)
    yield service
    server.should_exit = True
    thread.join(SECONDS)


@pytest.fixture(scope="module")
def person(
    service: Service, pictures: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    """An operator, who is a customer, too."""
    profile = tmp_path_factory.mktemp("profile")
    with at_browser(service.settings.public_url, pictures, profile) as person:
        person.go("/login")
        person.type("email", EMAIL)
        person.type("password", PASSWORD)
        person.press("Log in")
        yield person


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        ("/domains", "domains", "waits for its proof"),
        ("/domains/pictures.customer-a.example", "domain", "Remove it"),
        ("/accuracy", "accuracy-matrix", "fashion-mnist"),
        ("/captures", "captures", "2.5 %"),
        ("/operator/experiments", "experiments", "new-shirt"),
        ("/operator/experiments/new-shirt", "experiment", "398 agree"),
        ("/operator/people", "people", "grace@example.org"),
        ("/operator/audit", "audit", "better on shirts"),
    ],
)
def test_it_is_looked_at(person: Person, path: str, name: str, said: str) -> None:
    person.go(path)
    assert said in person.text("main")
    person.look(name)
    assert person.complaints() == []

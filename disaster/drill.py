"""The drill: everything is destroyed, restored where nothing is, and compared.

What is destroyed: a registry, a database with accounts, usage and bills, the objects of a namespace
and the revisions on disk. What is left: the backups and the two mirrors. Answers are those of both
servers, started from what the registry gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, select

from accounts.clock import HOUR_MS, month_bounds, month_of, now_ms
from accounts.database import Database, open_database
from accounts.events import reconcile
from accounts.invoices import bill_so_far, issue, issued
from accounts.keys import KeyRequest, make_key
from accounts.migration import migrate
from accounts.mirror import Mirror, open_mirror
from accounts.prices import read_prices
from accounts.secret_tokens import new_id
from accounts.tables import Account, UsageHour
from artifact import open_revision
from client.http import PredictClient
from common.kubernetes import INFERENCE_SERVICE
from common.processes import ROOT
from disaster import copies, sealing
from disaster.cluster_part import KINDS
from disaster.copies import Place, Say
from disaster.errors import DrillError
from disaster.vault import Vault
from disaster.worlds import NAMESPACE, World, imitated_cluster
from edge.ledger import Ledger
from edge.records import Intent, Outcome
from local.service import LocalService, free_ports, interpreters
from registry.connect import connect
from registry.opening import open_store
from rollout.clock import Clock
from rollout.ledger import Ledger as Rollouts
from tasks import Question

SERVED = {"mnist": ("2", "seven.png"), "fashion-mnist": ("3", "shirt.png")}
"""Revision and picture by model."""
LATER = ("mnist", "1")
"""Published after the backup."""
REQUESTS = 10
KEY = "key_drill"


@dataclass(frozen=True)
class Taken:
    """What is compared: digests of answers by model, bills by account, and the history."""

    answers: dict[str, str]
    bills: dict[str, Any]
    history: list[str]
    objects: dict[str, Any]
    billed: int
    difference: int
    """Between events and windows: those of the month before have no events."""


@dataclass(frozen=True)
class Outcomes:
    """What a drill has shown.

    Attributes:
        lost: entries of the history, billed requests and bills that did not come back.
        recovery_seconds: from the destruction to the same answers.
    """

    name: str
    lost: int
    recovery_seconds: float
    steps: dict[str, float] = field(default_factory=dict)


def run(name: str, world: World, say: Say) -> Outcomes:
    """Fill a world, back it up, go on, destroy it, restore it, compare.

    Raises:
        DrillError: something is not what it was.
    """
    steps: dict[str, float] = {}

    @contextlib.contextmanager
    def step(title: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        steps[title] = time.monotonic() - began
        say(f"{name}: {title}, {steps[title]:.1f} s")

    settings = world.settings
    place = Place(settings, world.cluster)
    assert settings.backup_key is not None
    vault = Vault(open_store(settings.backups), sealing.Seal.read(settings.backup_key))
    vault.store.set_up()
    with step("a registry, accounts and a namespace"):
        _begin(world)
    with _answering(world) as url:
        with step("usage, and a backup"):
            asyncio.run(_use(world, url, "before"))
            copies.back_up(place, vault, 14, lambda _: None)
        with step("usage, a bill, a publication and an alias since"):
            asyncio.run(_use(world, url, "since"))
            _go_on(world)
        before = _taken(world, url)
    destroyed = time.monotonic()
    world.destroy()
    shutil.rmtree(world.folder / "models")
    with imitated_cluster() as empty:
        restored = World(settings, world.destroy, world.folder, empty)
        with step("restored"):
            copies.restore(Place(settings, empty), vault, vault.manifest(), lambda _: None)
        with step("both servers answer"), _answering(restored) as url:
            after = _taken(restored, url)
            recovery_seconds = time.monotonic() - destroyed
    return Outcomes(name, _compared(before, after), recovery_seconds, steps)


def _begin(world: World) -> None:
    registry = connect(world.settings, "drill")
    registry.store.set_up()
    for model, (revision, _) in SERVED.items():
        registry.publish(open_revision(ROOT / "models", model, revision), "for the drill")
        registry.alias(model, "stable", revision)
    url = world.settings.database_url.get_secret_value()
    migrate(url)
    database, _ = _database(world)
    month = month_bounds(month_of(month_bounds(month_of(now_ms()))[0] - 1))[0]
    with database.write() as session:
        for name in ("ada", "grace"):
            account = Account(id=new_id("acc"), email=f"{name}@example.org", role="user")
            account.created_ms = account.verified_ms = now_ms()
            session.add(account)
            session.flush()
            key = make_key(session, account.id, KeyRequest("drill", ("*",)))
            sums = dict.fromkeys(
                ("failures", "request_bytes", "response_bytes", "milliseconds"), 0
            ) | {"unanswered_milliseconds": 0}
            session.add(
                UsageHour(
                    account_id=account.id,
                    hour_ms=month + HOUR_MS,
                    key_id=key.id,
                    model="mnist",
                    revision="1",
                    requests=12345,
                    instances=54321,
                    pixels=54321 * 784,
                    **sums,
                )
            )
    secret = {"metadata": {"name": "accounts"}, "data": {"database-url": "c2VjcmV0"}}
    world.cluster.create(KINDS["Secret"], secret)
    for kind, spec in (
        ("ClusterDomainClaim", {"namespace": NAMESPACE}),
        ("DomainMapping", {"ref": {"name": "vision"}}),
    ):
        document = {"metadata": {"name": "customer.example.org"}, "spec": spec}
        world.cluster.create(KINDS[kind], document)
    held = [f"--model={model}={revision}" for model, (revision, _) in SERVED.items()]
    container = {"name": "kserve-container", "image": "vision-predictor:dev", "args": held}
    predictor = {"containers": [container]}
    service = {"metadata": {"name": "vision"}, "spec": {"predictor": predictor}}
    world.cluster.create(INFERENCE_SERVICE, service)
    clock = Clock()
    rollouts = Rollouts(world.cluster, "vision", "drill", clock, lambda _: None)
    rollouts.change(lambda record: record.observed(predictor, "", {}, clock.moment()))


@contextlib.contextmanager
def _answering(world: World) -> Iterator[str]:
    """The URL of both servers with the registry's stable revisions."""
    registry = connect(world.settings, "drill")
    models = world.folder / "models"
    held = {model: registry.pull(model, "stable", models).name for model in SERVED}
    service = LocalService(
        free_ports(), interpreters(), models, held, world.folder / "logs", alone=True
    )
    with service:
        yield service.url


async def _use(world: World, url: str, title: str) -> None:
    """Requests of every account to every model, recorded as the edge records them."""
    _, mirror = _database(world)
    engine = _engine(world)
    with Database(engine).read() as session:
        accounts = list(session.scalars(select(Account.id)))
    ledger = Ledger(engine, mirror=mirror)
    ledger.start()
    try:
        for number in range(REQUESTS):
            for account in accounts:
                for model, (revision, picture) in SERVED.items():
                    content = _digest(_ask(url, model, picture))
                    request = f"{title}-{model}-{number}"
                    asked = (account, request, number + 1, KEY, model, 500, now_ms())
                    await ledger.admit(Intent(*asked))
                    # 200, billed, one instance, of so many pixels, bytes and milliseconds.
                    told = (200, True, 1, 784, 500, 300, 3)
                    ended = Outcome(account, request, KEY, KEY, model, revision, *told)
                    await ledger.complete(replace(ended, content=content))
    finally:
        ledger.stop()
        engine.dispose()


def _go_on(world: World) -> None:
    """What no backup has."""
    registry = connect(world.settings, "drill")
    registry.publish(open_revision(ROOT / "models", *LATER), "after the backup")
    registry.alias(LATER[0], "candidate", LATER[1])
    database, _ = _database(world)
    prices = read_prices(world.settings.prices_file)
    month = month_of(month_bounds(month_of(now_ms()))[0] - 1)
    with database.write() as session:
        for account in session.scalars(select(Account.id)).all():
            issue(session, account, month, prices)


def _taken(world: World, url: str) -> Taken:
    prices = read_prices(world.settings.prices_file)
    database, _ = _database(world)
    with database.read() as session:
        bills = {
            account: {
                "issued": [bill.as_json() for bill in issued(session, account)],
                "so far": bill_so_far(session, account, month_of(now_ms()), prices).as_json(),
            }
            for account in session.scalars(select(Account.id).order_by(Account.id))
        }
        counted = reconcile(session)
    registry = connect(world.settings, "drill")
    for model in registry.state().models():
        for revision in registry.state().revisions(model):
            registry.verify(model, revision)
    return Taken(
        {model: _digest(_ask(url, model, picture)) for model, (_, picture) in SERVED.items()},
        bills,
        [entry.digest for entry in registry.history.entries()],
        {
            f"{kind}/{found['metadata']['name']}": found.get("spec") or found.get("data")
            for kind in KINDS
            if kind != "ConfigMap"  # a record forgets the names of Knative revisions
            for found in world.cluster.find(KINDS[kind])
        },
        counted.billed,
        counted.difference,
    )


def _compared(before: Taken, after: Taken) -> int:
    """How much is lost; raises DrillError where what came back is another."""
    if before.answers != after.answers:
        raise DrillError(f"other answers: {before.answers} before, {after.answers} after")
    if before.objects != after.objects:
        raise DrillError(f"other objects: {before.objects} before, {after.objects} after")
    if after.history != before.history[: len(after.history)]:
        raise DrillError("the history that came back is another one")
    if before.difference != after.difference:
        raise DrillError(f"events and windows differ by {after.difference - before.difference}")
    lost = len(before.history) - len(after.history) + before.billed - after.billed
    if lost == 0 and before.bills != after.bills:
        told = json.dumps([before.bills, after.bills])
        raise DrillError(f"other bills before and after: {told}")
    return lost


def _database(world: World) -> tuple[Database, Mirror | None]:
    mirror = open_mirror(world.settings.accounts_mirror)
    return Database(_engine(world), mirror), mirror


def _engine(world: World) -> Engine:
    return open_database(world.settings.database_url.get_secret_value(), pool_size=1)


def _ask(url: str, model: str, picture: str) -> bytes:
    question = Question((ROOT / "samples" / picture).read_bytes(), "image/png")
    return PredictClient(url).ask(model, question).body


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()

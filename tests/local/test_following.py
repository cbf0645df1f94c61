"""A service takes what the registry says is live."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from artifact import open_revision
from common.errors import StartError
from local import following
from local.following import LOCAL, Follower
from registry.entry import Action, Event
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry
from tests.conftest import make_card, make_contract, make_weights, write_revision, write_small


class Service:
    """What the follower asks of a service."""

    def __init__(self, **held: str) -> None:
        self.revisions = held
        self.broken: set[str] = set()

    def take(self, models: dict[str, str]) -> None:
        if self.broken & set(models.values()):
            raise StartError("the predictor ended with status 1")
        self.revisions.update(models)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    store = FolderStore(tmp_path / "store")
    found = Registry(store, History(store), "ada")
    for revision in ("1", "2"):
        found.publish(write_small(tmp_path / "published", "mnist", revision, int(revision)))
    return found


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SECONDS", 0.0)


def promote(registry: Registry, revision: str, service: str = LOCAL) -> None:
    event = Event(Action.PROMOTED, "ada", "mnist", revision, "better", {"service": service})
    registry.history.append(event)


def test_what_is_promoted_is_fetched_and_taken(registry: Registry, tmp_path: Path) -> None:
    root = tmp_path / "models"
    registry.pull("mnist", "1", root)
    service, follower = Service(mnist="1"), Follower(registry, root, ())
    follower.look(service)
    promote(registry, "2", "vision")
    follower.look(service)
    assert service.revisions == {"mnist": "1"}
    promote(registry, "2")
    follower.look(service)
    assert service.revisions == {"mnist": "2"}
    assert open_revision(root, "mnist", "2").card.revision == "2"


def test_a_revision_that_was_said_stays(registry: Registry, tmp_path: Path) -> None:
    promote(registry, "2")
    service = Service(mnist="1")
    Follower(registry, tmp_path, ("mnist",)).look(service)
    assert service.revisions == {"mnist": "1"}


def test_what_does_not_start_is_taken_back_in_the_history(
    registry: Registry, tmp_path: Path
) -> None:
    registry.pull("mnist", "1", tmp_path / "models")
    promote(registry, "2")
    service, follower = Service(mnist="1"), Follower(registry, tmp_path / "models", ())
    service.broken = {"2"}
    follower.look(service)
    assert service.revisions == {"mnist": "1"}
    last = registry.history.entries()[-1]
    assert (last.action, last.revision) == (Action.ROLLED_BACK, "1")
    assert last.why == "mnist/2 does not start: the predictor ended with status 1"
    assert follower.live(["mnist"]) == {"mnist": "1"}


def test_another_contract_is_not_taken(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = make_card("mnist", "3", contract=make_contract(mean=(0.5,)))
    registry.publish(write_revision(tmp_path / "other", card, make_weights(3)))
    registry.pull("mnist", "1", tmp_path / "models")
    promote(registry, "3")
    service, follower = Service(mnist="1"), Follower(registry, tmp_path / "models", ())
    for _ in range(2):
        follower.look(service)
    assert service.revisions == {"mnist": "1"}
    assert capsys.readouterr().out == "mnist/3 has another contract: start the service anew\n"


def test_a_registry_that_cannot_be_read_stops_nothing(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(registry, "2")
    (tmp_path / "store" / "history" / "head.json").write_text("{")
    service = Service(mnist="1")
    Follower(registry, tmp_path, ()).look(service)
    assert service.revisions == {"mnist": "1"}
    assert "is not followed" in capsys.readouterr().out


def test_looks_have_a_pause(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SECONDS", 60.0)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    service, follower = Service(mnist="1"), Follower(registry, tmp_path, ())
    follower.look(service)
    promote(registry, "2")
    follower.look(service)
    assert service.revisions == {"mnist": "1"}

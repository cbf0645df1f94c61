from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifact import CARD_FILE, Revision, open_revision
from registry.entry import Action, Event
from registry.errors import DamagedError, ExistsError, NotFoundError, RefusedError
from registry.history import History
from registry.revisions import Registry
from registry.state import WAYS_BACK
from tests.conftest import write_small


def publish(registry: Registry, models: Path, *numbers: int) -> None:
    for number in numbers:
        registry.publish(write_small(models, "mnist", str(number), number))


def go_live(
    registry: Registry,
    *numbers: int,
    service: str = "vision",
    action: Action = Action.PROMOTED,
    why: str = "better",
) -> None:
    for number in numbers:
        event = Event(action, "ada", "mnist", str(number), why, {"service": service})
        assert registry.record(event, f"{uuid.uuid4()}") is not None


def test_what_is_published_is_pulled_as_it_was(
    registry: Registry, revision: Revision, tmp_path: Path
) -> None:
    entry = registry.publish(revision, "the first")
    assert (entry.identity, entry.why, entry.by) == ("mnist/1", "the first", "ada@example.com")
    folder = registry.pull("mnist", "1", tmp_path / "pulled")
    pulled = open_revision(tmp_path / "pulled", "mnist", "1")
    assert pulled.digest == revision.digest
    assert pulled.read_weights() == revision.read_weights()
    assert registry.pull("mnist", "1", tmp_path / "pulled") == folder
    assert registry.url_of("mnist", "1").endswith("/models/mnist/1")


def test_publishing_again_changes_nothing(registry: Registry, revision: Revision) -> None:
    first = registry.publish(revision)
    assert registry.publish(revision, "again") == first
    assert len(registry.history.entries()) == 1


def test_another_revision_of_that_number_is_refused(
    registry: Registry, revision: Revision, tmp_path: Path
) -> None:
    registry.publish(revision)
    other = write_small(tmp_path / "other", "mnist", "1", 2)
    with pytest.raises(ExistsError, match=r"mnist/1 was published on .* with other files"):
        registry.publish(other)
    assert registry.verify("mnist", "1") == 2


def test_publishing_goes_on_where_it_was_interrupted(
    registry: Registry, revision: Revision
) -> None:
    registry.store.create("models/mnist/1/weights.safetensors", revision.read_weights())
    with pytest.raises(NotFoundError, match="not in the registry"):
        registry.verify("mnist", "1")
    registry.publish(revision)
    assert registry.verify("mnist", "1") == 2


def test_other_bytes_under_its_name_are_left_alone(registry: Registry, revision: Revision) -> None:
    registry.store.create("models/mnist/1/weights.safetensors", b"another's")
    with pytest.raises(ExistsError, match="publish it under a new number"):
        registry.publish(revision)
    assert registry.history.entries() == []


def test_two_at_once_publish_once(registry: Registry, revision: Revision) -> None:
    others = [Registry(registry.store, History(registry.store), f"w{i}") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(lambda r: r.publish(revision), others))
    assert len({entry.number for entry in entries}) == 1
    assert len(registry.history.entries()) == 1


def test_a_revision_that_is_not_what_its_card_says_is_not_published(
    registry: Registry, revision: Revision
) -> None:
    (revision.folder / "weights.safetensors").write_bytes(b"cut off")
    with pytest.raises(DamagedError, match="its card names"):
        registry.publish(revision)
    assert list(registry.store.keys("")) == []


def test_changed_bytes_in_the_store_are_found(
    registry: Registry, revision: Revision, tmp_path: Path
) -> None:
    registry.publish(revision)
    key = "models/mnist/1/weights.safetensors"
    registry.store.delete(key)
    with pytest.raises(DamagedError, match=r"weights\.safetensors is missing"):
        registry.verify("mnist", "1")
    registry.store.create(key, b"others")
    with pytest.raises(DamagedError, match="but was published as"):
        registry.pull("mnist", "1", tmp_path / "pulled")
    assert not (tmp_path / "pulled" / "mnist" / "1").exists()
    assert list((tmp_path / "pulled" / "mnist").iterdir()) == []


def test_a_folder_of_that_name_with_something_else(
    registry: Registry, revision: Revision, tmp_path: Path
) -> None:
    registry.publish(revision)
    folder = tmp_path / "pulled" / "mnist" / "1"
    folder.mkdir(parents=True)
    (folder / CARD_FILE).write_text("mine")
    with pytest.raises(ExistsError, match="is not that of mnist/1"):
        registry.pull("mnist", "1", tmp_path / "pulled")
    assert (folder / CARD_FILE).read_text() == "mine"


def test_aliases_move(registry: Registry, models: Path, tmp_path: Path) -> None:
    publish(registry, models, 1, 2)
    registry.alias("mnist", "candidate", "1")
    registry.alias("mnist", "candidate", "2")
    assert registry.pull("mnist", "candidate", tmp_path / "p") == tmp_path / "p" / "mnist" / "2"
    with pytest.raises(RefusedError, match="cannot be an alias"):
        registry.alias("mnist", "1", "2")
    with pytest.raises(NotFoundError, match=r"mnist/3 is not in the registry \(revisions: 1, 2\)"):
        registry.alias("mnist", "candidate", "3")


def test_what_was_live_when(registry: Registry, models: Path) -> None:
    publish(registry, models, 1, 2)
    go_live(registry, 1, 2)
    go_live(registry, 1, action=Action.ROLLED_BACK, why="wrong sevens")
    state = registry.state()
    assert [t.revision for t in state.live] == ["1", "2", "1"]
    assert state.live[1].until == state.live[2].since
    (now,) = state.live_at("9999")
    assert (now.revision, now.why, now.until) == ("1", "wrong sevens", "")
    assert state.live_at("2000") == []
    assert state.resolve("mnist", "stable") == "1"


def test_two_services_are_told_apart(registry: Registry, models: Path) -> None:
    publish(registry, models, 1, 2)
    go_live(registry, 1, service="vision")
    go_live(registry, 2, service="flowers")
    assert {(t.service, t.revision) for t in registry.state().live_at("9999")} == {
        ("vision", "1"),
        ("flowers", "2"),
    }


def test_what_is_needed_is_not_retired(registry: Registry, models: Path) -> None:
    numbers = range(1, WAYS_BACK + 3)
    publish(registry, models, *numbers)
    go_live(registry, *numbers)
    with pytest.raises(RefusedError, match="vision answers with it"):
        registry.retire("mnist", str(numbers[-1]))
    with pytest.raises(RefusedError, match="vision can be rolled back to it"):
        registry.retire("mnist", "2")
    registry.alias("mnist", "gold", "1")
    with pytest.raises(RefusedError, match="it is called gold"):
        registry.retire("mnist", "1")
    registry.alias("mnist", "gold", "2")
    registry.retire("mnist", "1", "five others are left")
    assert list(registry.store.keys("models/mnist/1/")) == []
    assert registry.state().revisions("mnist") == [str(n) for n in numbers[1:]]


def test_a_number_is_never_given_again(registry: Registry, revision: Revision) -> None:
    registry.publish(revision)
    registry.retire("mnist", "1")
    registry.store.create("models/mnist/1/left-over", b"of an interrupted retirement")
    registry.retire("mnist", "1")
    assert list(registry.store.keys("models/")) == []
    assert len(registry.history.entries()) == 2
    with pytest.raises(NotFoundError, match="mnist/1 is retired"):
        registry.verify("mnist", "1")


def test_what_a_rollout_did_is_written_down_once(registry: Registry, models: Path) -> None:
    publish(registry, models, 1)
    details = {"service": "vision", "at": "2026-01-02T03:04:05Z"}
    event = Event(Action.PROMOTED, "ada", "mnist", "1", "", details)
    others = [Registry(registry.store, History(registry.store), f"w{i}") for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda r: r.record(event, "entry 7"), others))
    assert sum(entry is not None for entry in found) == 1
    assert registry.record(event, "entry 8") is not None
    assert [t.since for t in registry.state().live] == ["2026-01-02T03:04:05Z"] * 2

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from artifact import Revision
from disaster import registry_part
from disaster.errors import DamagedBackupError, DisasterError, NotEmptyError
from disaster.vault import Vault
from registry.entry import Event
from registry.errors import DamagedError
from registry.folder import FolderStore
from registry.history import HEAD, History
from registry.objects import ObjectStore, Stored
from registry.revisions import Registry
from tests.conftest import write_small


def another(tmp_path: Path) -> Registry:
    made = FolderStore(tmp_path / "restored")
    made.set_up()
    return Registry(made, History(made), "grace@example.com")


def test_it_is_restored_with_its_chain(
    registry: Registry, revision: Revision, models: Path, vault: Vault, tmp_path: Path
) -> None:
    registry.publish(revision)
    registry.publish(write_small(models, "mnist", "2", 2))
    registry.alias("mnist", "stable", "1")
    part = registry_part.back_up(registry, vault)
    restored = another(tmp_path)
    registry_part.restore(part, vault, restored.store)
    registry_part.restore(part, vault, restored.store)  # again, it changes nothing
    assert restored.history.entries() == registry.history.entries()
    assert [restored.verify("mnist", number) for number in ("1", "2")] == [2, 2]
    assert restored.state().resolve("mnist", "stable") == "1"
    restored.alias("mnist", "candidate", "2")  # the chain goes on
    assert len(restored.history.entries()) == 4


class Counting(FolderStore):
    """Counts what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_keys: list[str] = []

    def read(self, key: str) -> Stored:
        self.read_keys.append(key)
        return super().read(key)


def test_what_a_backup_has_is_not_read_again(
    revision: Revision, models: Path, vault: Vault, tmp_path: Path
) -> None:
    store = Counting(tmp_path / "store")
    store.set_up()
    registry = Registry(store, History(store), "ada@example.com")
    registry.publish(revision)
    before = registry_part.back_up(registry, vault)
    blobs = set(vault.store.keys("blobs/"))
    registry.publish(write_small(models, "mnist", "2", 2))
    store.read_keys.clear()
    registry_part.back_up(registry, vault, before)
    assert not [key for key in store.read_keys if key.startswith("models/mnist/1/")]
    assert len(set(vault.store.keys("blobs/")) - blobs) == 3  # card, weights, entry


def test_whoever_publishes_meanwhile_is_in_the_next(
    registry: Registry, revision: Revision, models: Path, vault: Vault, tmp_path: Path
) -> None:
    registry.publish(revision)
    put, other = vault.put, write_small(models, "mnist", "2", 2)
    published = threading.Lock()

    def publishing(data: bytes, secret: bool = False) -> str:
        if published.acquire(blocking=False):
            registry.publish(other)
        return put(data, secret)

    vault.put = publishing  # type: ignore[method-assign]
    part = registry_part.back_up(registry, vault)
    assert part["entries"] == 1
    restored = another(tmp_path)
    registry_part.restore(part, vault, restored.store)
    assert restored.state().revisions("mnist") == ["1"]


def test_what_is_retired_meanwhile_does_not_end_the_backup(
    registry: Registry, revision: Revision, models: Path, vault: Vault
) -> None:
    registry.publish(revision)
    registry.publish(write_small(models, "mnist", "2", 2))
    entries, read = registry.history.entries, []

    def retiring() -> list[Event]:
        found = entries()
        if not read:
            read.append(True)
            registry.history.entries = entries  # type: ignore[method-assign]
            registry.retire("mnist", "1")
        return list(found)

    registry.history.entries = retiring  # type: ignore[method-assign, assignment]
    part = registry_part.back_up(registry, vault)
    assert part["entries"] == 3
    assert not [key for key in part["files"] if key.startswith("models/mnist/1/")]


def test_a_damaged_registry_is_not_backed_up_as_if_it_were_well(
    folder: FolderStore, revision: Revision, vault: Vault, tmp_path: Path
) -> None:
    registry = Registry(folder, History(folder), "ada@example.com")
    registry.publish(revision)
    weights = tmp_path / "store/models/mnist/1/weights.safetensors"
    weights.write_bytes(b"others")
    with pytest.raises(DamagedError, match=r"weights\.safetensors has .* was published as"):
        registry_part.back_up(registry, vault)
    weights.unlink()
    with pytest.raises(DamagedError, match="history names what is not there"):
        registry_part.back_up(registry, vault)


def test_another_registry_is_not_written_over(
    folder: FolderStore, revision: Revision, models: Path, vault: Vault, tmp_path: Path
) -> None:
    registry = Registry(folder, History(folder), "ada@example.com")
    registry.publish(revision)
    part = registry_part.back_up(registry, vault)
    other = another(tmp_path)
    other.publish(write_small(models / "other", "mnist", "1", 7))
    with pytest.raises(NotEmptyError, match="holds another models/mnist/1/"):
        registry_part.restore(part, vault, other.store)


def test_what_was_changed_in_a_backup_is_not_restored(
    registry: Registry, revision: Revision, vault: Vault, tmp_path: Path
) -> None:
    registry.publish(revision)
    part = registry_part.back_up(registry, vault)
    (blob, *_) = (tmp_path / "backups/blobs").rglob("[0-9a-f]" * 64)
    blob.write_bytes(b"others")
    with pytest.raises(DamagedBackupError, match=f"{blob.name} was changed"):
        registry_part.restore(part, vault, another(tmp_path).store)


def test_a_chain_that_ends_elsewhere_is_found(
    registry: Registry, revision: Revision, vault: Vault, tmp_path: Path
) -> None:
    registry.publish(revision)
    part = registry_part.back_up(registry, vault)
    part["head"] = "sha256:" + "1" * 64
    with pytest.raises((DamagedError, DisasterError), match=r"names another entry|another one"):
        registry_part.restore(part, vault, another(tmp_path).store)


def test_a_mirrors_newer_entries_are_taken(
    folder: FolderStore, revision: Revision, models: Path, vault: Vault, tmp_path: Path
) -> None:
    registry = Registry(folder, History(folder), "ada@example.com")
    registry.publish(revision)
    part = registry_part.back_up(registry, vault)
    registry.publish(write_small(models, "mnist", "2", 2))
    restored = another(tmp_path)
    registry_part.restore(part, vault, restored.store)
    mirror: ObjectStore = folder
    assert registry_part.bring_up(mirror, restored.store) == 3
    assert restored.history.entries() == registry.history.entries()
    assert restored.store.read(HEAD).data == folder.read(HEAD).data
    assert restored.verify("mnist", "2") == 2

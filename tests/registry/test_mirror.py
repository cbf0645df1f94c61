from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from artifact import Revision
from registry.connect import connect
from registry.errors import StoreError
from registry.folder import FolderStore
from registry.history import HEAD, History
from registry.mirror import MirroredStore
from registry.objects import ObjectStore
from registry.opening import check_conditions
from registry.revisions import Registry
from registry.settings import RegistrySettings
from tests.conftest import write_small


class Failing(FolderStore):
    """Does not answer at its n-th write."""

    left = 1000

    def create(self, key: str, data: bytes) -> None:
        self._fail()
        super().create(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._fail()
        super().replace(key, data, etag)

    def _fail(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("no route to host")


@pytest.fixture
def mirror(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "mirror")


def opened(store: ObjectStore, mirror: ObjectStore) -> Registry:
    mirrored = MirroredStore(store, mirror)
    return Registry(mirrored, History(mirrored), "ada@example.com")


def alone(store: ObjectStore) -> Registry:
    return Registry(store, History(store), "grace@example.com")


def test_what_was_published_is_in_both(
    store: ObjectStore, mirror: Failing, revision: Revision, models: Path
) -> None:
    registry = opened(store, mirror)
    registry.store.set_up()
    check_conditions(registry.store)
    registry.publish(revision)
    registry.publish(write_small(models, "mnist", "2", 2))
    registry.alias("mnist", "candidate", "2")
    registry.retire("mnist", "1")
    copy = alone(mirror)
    assert copy.history.entries() == registry.history.entries()
    assert mirror.read(HEAD).data == store.read(HEAD).data
    assert copy.verify("mnist", "2") == 2
    assert list(mirror.keys("models/mnist/1/"))  # a mirror keeps what is deleted
    assert not list(mirror.keys("probes/"))


@pytest.mark.parametrize("same_process", [True, False])
def test_whatever_fails_what_was_said_to_be_done_is_in_the_mirror(
    folder: FolderStore, mirror: Failing, revision: Revision, same_process: bool
) -> None:
    """At each of its writes; then again, as whoever was refused does."""
    registry = opened(folder, mirror)
    for left in range(6):
        mirror.left = left
        with contextlib.suppress(StoreError):
            registry.publish(revision)
            registry.alias("mnist", f"a{left}", "1")
            assert alone(mirror).state().resolve("mnist", f"a{left}") == "1"
        mirror.left = 1000
        if not same_process:
            registry = opened(folder, mirror)
        registry.publish(revision)
        registry.alias("mnist", f"b{left}", "1")
        assert alone(mirror).state().resolve("mnist", f"b{left}") == "1"
        assert alone(mirror).verify("mnist", "1") == 2
    assert alone(mirror).history.entries() == alone(folder).history.entries()


def test_one_that_is_named_later_is_brought_up(
    folder: FolderStore, tmp_path: Path, revision: Revision
) -> None:
    alone(folder).publish(revision)
    settings = RegistrySettings(
        registry=str(tmp_path / "store"), registry_mirror=str(tmp_path / "mirror")
    )
    connect(settings, "ada").state()
    copy = alone(FolderStore(tmp_path / "mirror"))
    assert copy.history.entries() == alone(folder).history.entries()
    assert copy.verify("mnist", "1") == 2


def test_another_registrys_mirror_is_refused(
    folder: FolderStore, mirror: Failing, revision: Revision, models: Path
) -> None:
    alone(mirror).publish(write_small(models / "other", "mnist", "1", 7))
    with pytest.raises(StoreError, match="is the mirror of another registry"):
        opened(folder, mirror).publish(revision)

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from disaster import vault as module
from disaster.errors import BackupNotFoundError, DamagedBackupError, DisasterError, SealError
from disaster.sealing import Seal, make_key
from disaster.vault import Vault
from registry.folder import FolderStore


def made(vault: Vault, *contents: bytes) -> str:
    with vault.begun() as identity:
        vault.finish(identity, {"files": {str(i): vault.put(c) for i, c in enumerate(contents)}})
    return identity


def test_what_is_put_is_given_back_and_lies_there_once(vault: Vault) -> None:
    assert vault.get(vault.put(b"weights")) == b"weights"
    assert vault.put(b"weights") == vault.put(b"weights")
    assert len(list(vault.store.keys("blobs/"))) == 1


def test_secrets_are_not_readable_without_the_key(vault: Vault, tmp_path: Path) -> None:
    reference = vault.put(b"password", secret=True)
    assert vault.get(reference) == b"password"
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"password" in p.read_bytes()]
    make_key(tmp_path / "other.key")
    with pytest.raises(SealError, match="another key"):
        Vault(vault.store, Seal.read(tmp_path / "other.key")).get(reference)
    with pytest.raises(SealError, match="VISION_BACKUP_KEY"):
        Vault(vault.store).get(reference)
    with pytest.raises(SealError, match="VISION_BACKUP_KEY"):
        Vault(vault.store).put(b"password", secret=True)


def test_a_key_is_its_owners_and_never_overwritten(key: Path, tmp_path: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SealError, match="cannot be made"):
        make_key(key)
    with pytest.raises(SealError, match="cannot be read"):
        Seal.read(tmp_path / "none.key")
    (tmp_path / "bad.key").write_text("bad")
    with pytest.raises(SealError, match="vision backup key FILE"):
        Seal.read(tmp_path / "bad.key")


class Killed(BaseException):
    """As by SIGKILL."""


class Mortal(FolderStore):
    """Dies at its n-th write, and does nothing after that."""

    left = 0

    def create(self, key: str, data: bytes) -> None:
        self._live()
        super().create(key, data)

    def delete(self, key: str) -> None:
        self._live()
        super().delete(key)

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def test_a_backup_that_was_killed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "backups")
    store.set_up()
    whole = made(Vault(store), b"one")
    for left in range(5):  # the note, two blobs, the manifest, the end of the note
        mortal = Mortal(tmp_path / "backups")
        mortal.left = left
        with pytest.raises(Killed):
            made(Vault(mortal), f"{left}".encode(), f"and {left}".encode())
        backups = Vault(store).identities()
        assert len(backups) == 1 + (left == 4)
        for identity in backups:
            assert Vault(store).verify(Vault(store).manifest(identity)) in (1, 2)
    # What they have left is kept for a day, as if they were under way, and goes then.
    assert len(list(store.keys("running/"))) == 4
    Vault(store).retain(1)
    assert len(list(store.keys("blobs/"))) > 2
    later = datetime.now(timezone.utc) + timedelta(days=1, minutes=1)
    monkeypatch.setattr(module, "_now", lambda: later)
    Vault(store).retain(1)
    assert len(list(store.keys("blobs/"))) == 2
    assert not list(store.keys("running/"))
    with pytest.raises(BackupNotFoundError, match=whole):
        Vault(store).manifest(whole)


def test_retention_keeps_what_the_kept_ones_share(vault: Vault) -> None:
    first, second, third = made(vault, b"a", b"b"), made(vault, b"b", b"c"), made(vault, b"c")
    assert vault.retain(2) == [first]
    assert vault.identities() == [second, third]
    assert [vault.verify(vault.manifest(i)) for i in vault.identities()] == [2, 1]
    assert len(list(vault.store.keys("blobs/"))) == 2


def test_a_blob_that_goes_while_a_backup_is_made_ends_it(vault: Vault) -> None:
    with vault.begun() as identity:
        reference = vault.put(b"a")
        vault.store.delete(next(vault.store.keys("blobs/")))
        with pytest.raises(DisasterError, match="1 blobs were deleted"):
            vault.finish(identity, {"files": [reference]})
    assert vault.identities() == []


def test_what_is_missing_changed_or_of_another_format_is_found(
    vault: Vault, tmp_path: Path
) -> None:
    with pytest.raises(BackupNotFoundError, match="holds no backup"):
        vault.manifest()
    identity = made(vault, b"a")
    key = next(vault.store.keys("blobs/"))
    (tmp_path / "backups" / key).write_bytes(b"b")
    with pytest.raises(DamagedBackupError, match="was changed: it has sha256:"):
        vault.verify(vault.manifest())
    vault.store.delete(key)
    with pytest.raises(DamagedBackupError, match="is missing"):
        vault.verify(vault.manifest())
    path = tmp_path / "backups/backups" / f"{identity}.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(DamagedBackupError, match="format 2"):
        vault.manifest()

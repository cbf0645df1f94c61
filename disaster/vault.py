"""Where backups lie: blobs by digest, shared by all backups, and one manifest a backup.

``blobs/<xx>/<sha256>``         bytes, as stored (sealed where they are secret)
``backups/<id>.json``           a manifest; written last, and never changed
``running/<id>.json``           a backup under way, or one that was killed
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from disaster.errors import BackupNotFoundError, DamagedBackupError, DisasterError, SealError
from disaster.sealing import Seal
from registry.errors import ExistsError, NotFoundError
from registry.mirror import side_by_side
from registry.objects import ObjectStore

FORMAT = 1
BLOBS, BACKUPS, RUNNING = "blobs/", "backups/", "running/"
BLOB, SEALED = "blob:", "sealed:"
TIME = "%Y%m%dT%H%M%S.%fZ"
GIVEN_UP = timedelta(days=1)
"""A backup that has been under way for so long was killed."""

Manifest = dict[str, Any]


class Vault:
    """Backups in a store of objects.

    Args:
        seal: closes what is secret; None where nothing secret is kept.
    """

    def __init__(self, store: ObjectStore, seal: Seal | None = None) -> None:
        self.store = store
        self._seal = seal
        self._known: set[str] | None = None

    def require_seal(self, what: str) -> None:
        """Raises SealError: there is no key, and ``what`` is secret."""
        if self._seal is None:
            raise SealError(
                f"{what}: there are secrets in it, and they are kept sealed alone. `vision backup "
                "key backup.key` makes a key, VISION_BACKUP_KEY=backup.key names it; keep a copy "
                "where the backups are not"
            )

    def put(self, data: bytes, secret: bool = False) -> str:
        """Store bytes; returns the reference that gives them back.

        Raises:
            SealError: they are secret, and there is no key.
        """
        if secret:
            self.require_seal("this part")
            assert self._seal is not None
            data = self._seal.close(data)
        digest = hashlib.sha256(data).hexdigest()
        key = _key(digest)
        if key not in self._blobs():
            with contextlib.suppress(ExistsError):
                self.store.create(key, data)
            self._blobs().add(key)
        return f"{SEALED if secret else BLOB}{digest}"

    def has(self, reference: str) -> bool:
        return _key(_digest(reference)) in self._blobs()

    def get(self, reference: str) -> bytes:
        """The bytes of a reference.

        Raises:
            DamagedBackupError: they are missing, or are others.
            SealError: they are sealed with another key, or there is none.
        """
        data = self._stored(reference)
        if not reference.startswith(SEALED):
            return data
        self.require_seal("this part is sealed")
        assert self._seal is not None
        return self._seal.open(data)

    def _stored(self, reference: str) -> bytes:
        digest = _digest(reference)
        try:
            data = self.store.read(_key(digest)).data
        except NotFoundError:
            raise DamagedBackupError(f"{self.store.url}: {_key(digest)} is missing") from None
        if (found := hashlib.sha256(data).hexdigest()) != digest:
            raise DamagedBackupError(
                f"{self.store.url}: {_key(digest)} was changed: it has sha256:{found}"
            )
        return data

    def _blobs(self) -> set[str]:
        if self._known is None:
            self._known = set(self.store.keys(BLOBS))
        return self._known

    @contextlib.contextmanager
    def begun(self) -> Iterator[str]:
        """The id of a new backup, which is noted as running until it has ended."""
        identity = f"{_now().strftime(TIME)}-{secrets.token_hex(3)}"
        note = f"{RUNNING}{identity}.json"
        self.store.create(note, b"{}")
        try:
            yield identity
        finally:
            self.store.delete(note)

    def finish(self, identity: str, parts: dict[str, Any]) -> Manifest:
        """Write the manifest: from here on it is a backup.

        Raises:
            DisasterError: a blob that it names has gone meanwhile.
        """
        self._known = None
        missing = [r for r in references(parts) if not self.has(r)]
        if missing:
            raise DisasterError(
                f"{self.store.url}: {len(missing)} blobs were deleted while the backup was made; "
                "make it again"
            )
        manifest = {"format": FORMAT, "id": identity, "made": _now().isoformat(), "parts": parts}
        self.store.create(
            f"{BACKUPS}{identity}.json", json.dumps(manifest, sort_keys=True).encode()
        )
        return manifest

    def identities(self) -> list[str]:
        """Of all backups, oldest first."""
        return sorted(
            key.removeprefix(BACKUPS).removesuffix(".json") for key in self.store.keys(BACKUPS)
        )

    def manifest(self, identity: str = "") -> Manifest:
        """Of one backup; of the newest where none is named.

        Raises:
            BackupNotFoundError: there is no such backup.
            DamagedBackupError: its manifest cannot be read.
        """
        known = self.identities()
        if not identity:
            if not known:
                raise BackupNotFoundError(f"{self.store.url} holds no backup")
            identity = known[-1]
        elif identity not in known:
            raise BackupNotFoundError(f"{self.store.url} holds no backup {identity}")
        try:
            manifest: Manifest = json.loads(self.store.read(f"{BACKUPS}{identity}.json").data)
            if manifest["format"] != FORMAT or manifest["id"] != identity:
                raise ValueError(f"format {manifest['format']}, id {manifest['id']}")
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedBackupError(
                f"the manifest of {identity} cannot be read: {error}"
            ) from None
        return manifest

    def verify(self, manifest: Manifest) -> int:
        """Compare every byte of a backup with its digest; returns the number of blobs.

        Raises:
            DamagedBackupError: as for ``get``.
        """
        wanted = sorted(set(references(manifest["parts"])))
        side_by_side(lambda reference: len(self._stored(reference)), wanted)
        return len(wanted)

    def retain(self, newest: int) -> list[str]:
        """Delete all but the newest backups, and what only they held.

        Returns:
            The backups that are gone. Blobs stay while another backup is under way.
        """
        old = self.identities()[:-newest]
        for identity in old:
            self.store.delete(f"{BACKUPS}{identity}.json")
        notes = list(self.store.keys(RUNNING))
        if any(_now() - _began(note) < GIVEN_UP for note in notes):
            return old
        kept = {r for i in self.identities() for r in references(self.manifest(i)["parts"])}
        keys = {_key(_digest(reference)) for reference in kept}
        for key in set(self.store.keys(BLOBS)) - keys:
            self.store.delete(key)
        for note in notes:
            self.store.delete(note)
        self._known = None
        return old


def references(part: Any) -> Iterator[str]:
    """Every reference to a blob in a manifest's parts: the strings that begin as one does."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)
    elif isinstance(part, str) and part.startswith((BLOB, SEALED)):
        yield part


def _digest(reference: str) -> str:
    return reference.rpartition(":")[2]


def _key(digest: str) -> str:
    return f"{BLOBS}{digest[:2]}/{digest}"


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _began(note: str) -> datetime:
    moment = note.removeprefix(RUNNING).partition("-")[0]
    return datetime.strptime(moment, TIME).replace(tzinfo=timezone.utc)

"""A backup from nothing to its manifest, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from accounts import mirror
from accounts.database import open_database
from common.kubernetes import Cluster
from disaster import accounts_part, cluster_part, registry_part
from disaster.errors import DisasterError
from disaster.settings import BackupSettings
from disaster.vault import Manifest, Vault
from registry.connect import connect
from registry.history import History
from registry.objects import ObjectStore
from registry.opening import open_store
from registry.revisions import Registry

REGISTRY, ACCOUNTS, CLUSTER = PARTS = ("registry", "accounts", "cluster")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """What is backed up, or where it is restored to.

    Attributes:
        cluster: None: no part of a cluster is meant.
        parts: of ``PARTS``; empty: those that are there, or that the backup has.
    """

    settings: BackupSettings
    cluster: Cluster | None
    parts: Collection[str] = ()

    @property
    def database_url(self) -> str:
        return self.settings.database_url.get_secret_value()

    def database(self) -> Engine:
        ca_file = self.settings.database_ca_file
        return open_database(self.database_url, pool_size=1, ca_file=ca_file)

    def registry(self) -> Registry:
        return connect(self.settings, "backup")

    def wants(self, part: str) -> bool:
        return not self.parts or part in self.parts


def back_up(place: Place, vault: Vault, keep: int, say: Say) -> Manifest:
    """Make a backup, and delete those that are beyond the newest ``keep``.

    Raises:
        DisasterError, RegistryError, KubernetesError: nothing was made that counts as a backup.
    """
    parts: dict[str, Any] = {}
    with vault.begun() as identity:
        if place.wants(REGISTRY):
            parts |= _registry(place, vault, say)
        if place.wants(ACCOUNTS):
            parts |= _accounts(place, vault, say)
        if place.wants(CLUSTER) and place.cluster is not None:
            parts[CLUSTER] = cluster_part.back_up(place.cluster, vault)
            say(_told(parts[CLUSTER]["counts"]))
        if missing := set(place.parts) - set(parts):
            raise DisasterError(f"there is nothing to back up of: {', '.join(sorted(missing))}")
        if not parts:
            raise DisasterError(
                "there is nothing to back up: no registry, no accounts and no cluster; "
                "VISION_REGISTRY, VISION_DATABASE_URL and --namespace name them"
            )
        manifest = vault.finish(identity, parts)
    for old in vault.retain(keep):
        say(f"deleted backup {old}: beyond the newest {keep}")
    if place.settings.accounts_mirror:
        _thin_out(open_store(place.settings.accounts_mirror), vault)
    return manifest


def _thin_out(store: ObjectStore, vault: Vault) -> None:
    """Of the accounts' mirror, keep what follows the oldest backup that there is."""
    parts = [vault.manifest(identity)["parts"] for identity in vault.identities()]
    numbers = [part[ACCOUNTS]["mirrored"] for part in parts if ACCOUNTS in part]
    if numbers:
        mirror.forget(store, min(numbers))


def _registry(place: Place, vault: Vault, say: Say) -> dict[str, Any]:
    before: dict[str, Any] = {}
    if known := vault.identities():
        before = vault.manifest(known[-1])["parts"].get(REGISTRY) or {}
    part = registry_part.back_up(place.registry(), vault, before)
    if not part["files"]:
        say(f"registry {part['url']}: empty; not in this backup")
        return {}
    say(f"registry {part['url']}: {part['entries']} entries, {len(part['files'])} objects")
    return {REGISTRY: part}


def _accounts(place: Place, vault: Vault, say: Say) -> dict[str, Any]:
    engine = place.database()
    try:
        if not accounts_part.is_there(engine):
            say("accounts: no tables in the database; not in this backup")
            return {}
        part = accounts_part.back_up(engine, vault)
    finally:
        engine.dispose()
    rows = sum(table["rows"] for table in part["tables"].values())
    say(f"accounts ({part['kind']}): {rows} rows in {len(part['tables'])} tables")
    return {ACCOUNTS: part}


def restore(place: Place, vault: Vault, manifest: Manifest, say: Say) -> None:
    """Write a backup's parts into places where nothing is; done again, it goes on.

    Raises:
        NotEmptyError: something else is there.
        DamagedBackupError, DisasterError: the backup is no good, or has no such part.
    """
    parts = manifest["parts"]
    if missing := set(place.parts) - set(parts):
        raise DisasterError(f"backup {manifest['id']} has no {', '.join(sorted(missing))}")
    if CLUSTER in parts and place.wants(CLUSTER):
        if place.cluster is None:
            say("cluster: --namespace names where to; its objects were not restored")
        else:
            at = manifest["made"][:19] + "Z"
            for note in cluster_part.restore(parts[CLUSTER], vault, place.cluster, at):
                say(note)
            say(f"{_told(parts[CLUSTER]['counts'])} in {place.cluster.namespace}")
    if REGISTRY in parts and place.wants(REGISTRY):
        store = open_store(place.settings.registry)
        store.set_up()
        registry_part.restore(parts[REGISTRY], vault, store)
        if place.settings.registry_mirror:
            newer = registry_part.bring_up(open_store(place.settings.registry_mirror), store)
            say(f"registry: {newer} objects that the mirror has since")
        say(f"registry {store.url}: {len(History(store).entries())} entries, chain checked")
    if ACCOUNTS in parts and place.wants(ACCOUNTS):
        where = place.settings.database_ca_file
        accounts_part.restore(parts[ACCOUNTS], vault, place.database_url, where)
        rows = sum(table["rows"] for table in parts[ACCOUNTS]["tables"].values())
        say(f"accounts: {rows} rows")
        if place.settings.accounts_mirror:
            engine = place.database()
            newer = mirror.bring_up(engine, open_store(place.settings.accounts_mirror))
            engine.dispose()
            say(f"accounts: {newer} transactions that the mirror has since")


def _told(counts: dict[str, int]) -> str:
    return "cluster: " + ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)

"""The registry in a backup: the chain of its history up to one entry, and all that it names.

Nothing in a registry is changed after it was written but the head, so that what a backup already
has by digest is not read again.
"""

from __future__ import annotations

import json
from typing import Any

from artifact import sha256_of
from disaster.errors import DisasterError, NotEmptyError
from disaster.vault import BLOB, Vault
from registry.entry import BEGINNING, Entry
from registry.errors import DamagedError, ExistsError, NotFoundError
from registry.history import HEAD, History
from registry.mirror import copy_missing, side_by_side
from registry.objects import ObjectStore
from registry.revisions import MODELS, Registry
from registry.state import State

ENTRIES, PACKS, PROBES = "history/entries/", "history/packs/", "probes/"
ATTEMPTS = 3
"""A revision may be retired while it is copied."""

Part = dict[str, Any]


def back_up(registry: Registry, vault: Vault, before: Part | None = None) -> Part:
    """Copy what the history names as it stands now; whoever publishes meanwhile is in the next.

    Args:
        before: of the backup before; what has not changed since is not read again.

    Raises:
        DamagedError: the registry's bytes are not those that its history names.
    """
    for attempt in range(ATTEMPTS):
        entries = registry.history.entries()
        try:
            files, marks = _copied(registry.store, vault, entries, before or {})
        except NotFoundError as error:
            if attempt + 1 == ATTEMPTS:
                raise DamagedError(
                    f"the registry's history names what is not there: {error}"
                ) from None
            continue
        return {
            "url": registry.store.url,
            "entries": len(entries),
            "head": entries[-1].digest if entries else BEGINNING,
            "files": files,
            "marks": marks,
        }
    raise AssertionError("unreachable")


def _copied(
    store: ObjectStore, vault: Vault, entries: list[Entry], before: Part
) -> tuple[dict[str, str], dict[str, str]]:
    """Reference by key, and marks; raises NotFoundError: something was retired meanwhile."""
    expected = _published(entries)
    known, old = before.get("files", {}), before.get("marks", {})
    # Taken before the bytes: what changes meanwhile has another mark in the next backup.
    marks = {key: mark for key, mark in store.marks("") if _belongs(key, len(entries))}

    def copied(key: str) -> str:
        if (digest := expected.get(key)) is not None:
            reference = f"{BLOB}{digest.removeprefix('sha256:')}"
            if vault.has(reference):
                return reference
        elif old.get(key) == marks[key] and vault.has(known.get(key, BLOB)):
            return str(known[key])
        data = store.read(key).data
        if digest is not None and (found := sha256_of(data)) != digest:
            raise DamagedError(f"{store.url}/{key} has {found}, but was published as {digest}")
        return vault.put(data)

    keys = [*expected, *marks]
    return dict(zip(keys, side_by_side(copied, keys), strict=True)), marks


def _published(entries: list[Entry]) -> dict[str, str]:
    """Digest by key of every file of the revisions that are there."""
    state = State.after(entries)
    return {
        f"{MODELS}/{model}/{revision}/{name}": digest
        for (model, revision), entry in state.published.items()
        if (model, revision) not in state.retired
        for name, digest in entry.details["files"].items()
    }


def _belongs(key: str, entries: int) -> bool:
    """Whether a key is part of a chain of that many entries, apart from revisions and the head."""
    if key.startswith(ENTRIES):
        return int(key.removeprefix(ENTRIES).removesuffix(".json")) <= entries
    if key.startswith(PACKS):
        size, _, name = key.removeprefix(PACKS).partition("/")
        return (int(name.removesuffix(".jsonl")) + 1) * int(size) <= entries
    return key != HEAD and not key.startswith((f"{MODELS}/", PROBES))


def restore(part: Part, vault: Vault, store: ObjectStore) -> None:
    """Write a registry back; what is there already and is the same is left, so that it goes on.

    Raises:
        NotEmptyError: the store holds something else.
        DamagedBackupError: the backup's bytes are not those that it names.
    """
    files: dict[str, str] = part["files"]

    def written(key: str) -> None:
        _create(store, key, vault.get(files[key]))

    # The history last: what an entry names is there before the entry is.
    history = [key for key in files if key.startswith((ENTRIES, PACKS))]
    side_by_side(written, [key for key in files if key not in set(history)])
    side_by_side(written, history)
    _finish(store, part["entries"], part["head"])


def bring_up(mirror: ObjectStore, store: ObjectStore) -> int:
    """Write what a mirror has and a store has not; returns how many objects."""
    copied = copy_missing(mirror, store)
    entries = History(store).entries()
    if entries:
        _finish(store, len(entries), entries[-1].digest)
    return copied


def _create(store: ObjectStore, key: str, data: bytes) -> None:
    try:
        store.create(key, data)
    except ExistsError:
        if store.read(key).data != data:
            raise NotEmptyError(
                f"{store.url} holds another {key}: a registry is restored where none is; name "
                "another place in VISION_REGISTRY"
            ) from None


def _finish(store: ObjectStore, entries: int, digest: str) -> None:
    """Have the head name the newest entry, and see that the chain leads there."""
    if not entries:
        return
    data = json.dumps({"number": entries, "digest": digest}).encode()
    try:
        store.create(HEAD, data)
    except ExistsError:
        stored = store.read(HEAD)
        if json.loads(stored.data)["number"] < entries:
            store.replace(HEAD, data, stored.etag)
    found = History(store).entries()
    if len(found) < entries or found[entries - 1].digest != digest:
        raise DisasterError(f"{store.url}: the history that was restored is another one")

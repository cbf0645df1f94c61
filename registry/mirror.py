"""A second place for a registry, written in the same operation as the first."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from registry.errors import ConflictError, ExistsError, NotFoundError, StoreError
from registry.history import HEAD, entry_key
from registry.objects import ObjectStore, Stored

HISTORY, PROBES = "history/", "probes/"
TRANSFERS = 8

T = TypeVar("T")
R = TypeVar("R")


class MirroredStore(ObjectStore):
    """A store whose every write is in a mirror too before it is said to be done.

    What is there already is written to the mirror as well: its writer may have ended between the
    two. The mirror keeps what is deleted.
    """

    def __init__(self, store: ObjectStore, mirror: ObjectStore) -> None:
        self.url = store.url
        self._store = store
        self._mirror = mirror
        self._behind = True
        """Perhaps: nobody has looked yet, or it has not answered."""
        self._failed = False

    def create(self, key: str, data: bytes) -> None:
        self._bring_up()
        try:
            self._store.create(key, data)
        except ExistsError:
            self._copy(key, self._store.read(key).data)
            raise
        self._copy(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._bring_up()
        self._store.replace(key, data, etag)
        if key.startswith(PROBES):
            return
        # Of two who replace it the last one counts; the head is a short cut, and may be behind.
        with contextlib.suppress(ConflictError, ExistsError):
            try:
                self._mirror.replace(key, data, self._mirror.read(key).etag)
            except NotFoundError:
                self._mirror.create(key, data)

    def read(self, key: str) -> Stored:
        self._bring_up()  # what the mirror has not is not to be seen as done
        return self._store.read(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._store.keys(prefix)

    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        return self._store.marks(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def set_up(self) -> list[str]:
        return [*self._store.set_up(), *self._mirror.set_up()]

    def _bring_up(self) -> None:
        """Write what the mirror may lack: once, and after it has not answered."""
        if not self._behind:
            return
        number = _number(self._store)
        if (
            self._failed
            or _number(self._mirror) < number
            or _has(self._store, entry_key(number + 1))
        ):
            self._catch_up()
        self._behind = self._failed = False

    def _catch_up(self) -> None:
        copy_missing(self._store, self._mirror)
        with contextlib.suppress(NotFoundError, ConflictError, ExistsError):
            head = self._store.read(HEAD).data
            try:
                self._mirror.replace(HEAD, head, self._mirror.read(HEAD).etag)
            except NotFoundError:
                self._mirror.create(HEAD, head)

    def _copy(self, key: str, data: bytes) -> None:
        if key.startswith(PROBES):
            return
        try:
            self._mirror.create(key, data)
        except StoreError:
            self._behind = self._failed = True
            raise
        except ExistsError:
            if key != HEAD and self._mirror.read(key).data != data:
                raise StoreError(
                    f"{self._mirror.url} is the mirror of another registry: it has another {key}"
                ) from None


def copy_missing(source: ObjectStore, target: ObjectStore) -> int:
    """Write what another store has; what the history names before the history, and not its head.

    Returns:
        How many objects.
    """
    there = set(target.keys(""))
    missing = [k for k in source.keys("") if k not in there and not k.startswith((HEAD, PROBES))]
    history = [key for key in missing if key.startswith(HISTORY)]

    def copied(key: str) -> None:
        with contextlib.suppress(ExistsError, NotFoundError):
            target.create(key, source.read(key).data)

    for keys in (set(missing) - set(history), history):
        side_by_side(copied, keys)
    return len(missing)


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What ``work`` makes of each, several at a time."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        return list(pool.map(work, items))


def _number(store: ObjectStore) -> int:
    """Of the entry that the head names; 0 without one."""
    try:
        return int(json.loads(store.read(HEAD).data)["number"])
    except (NotFoundError, ValueError, KeyError):
        return 0


def _has(store: ObjectStore, key: str) -> bool:
    try:
        store.read(key)
    except NotFoundError:
        return False
    return True

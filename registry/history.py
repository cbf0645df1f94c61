"""The history: one chain of entries, to which anybody may append and nobody may write otherwise.

An entry is an object that is created under its number, so of two writers one has the number and the
other takes the next. The head says how far the chain goes, so that nobody has to look for its end
from the beginning. It may be behind, where a writer ended before it moved the head, or where a
store let two replace it at the same time: readers look whether there is more, writers move it on.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from registry.entry import BEGINNING, Entry, Event
from registry.errors import ConflictError, DamagedError, ExistsError, NotFoundError, RegistryError
from registry.objects import ObjectStore
from registry.signing import Signer, Verifier
from registry.verified import Point, VerifiedPoint

HEAD = "history/head.json"
PACK, SMALL_PACK = 512, 64
"""Entries in a pack, a copy of finished ones that takes one read instead of many; in a small one of
those that fill no whole pack yet.

It is part of a pack's key: of another size than they were written with, packs are not found.
"""
READERS = 16
ATTEMPTS = 200
MAX_PAUSE_SECONDS = 0.5

Check = Callable[[Sequence[Entry]], None]


class History:
    """Of one store.

    Args:
        signer: signs what is appended; None leaves it unsigned.
        verifier: what is read must be signed by one of its keys; None takes anything.
        verified: how far that was checked before; None checks everything.
    """

    def __init__(
        self,
        store: ObjectStore,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
        verified: VerifiedPoint | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._verifier = verifier
        self._verified = verified
        self._entries: list[Entry] = []
        self._signed = 0  # of them, whose signatures are good

    def entries(self) -> list[Entry]:
        """All of them, in order, every link checked.

        Raises:
            DamagedError: an entry is missing, was changed, or is not signed as it must be.
        """
        number, digest, _ = self._head()
        self._read_to(number)
        if number and self._entries[number - 1].digest != digest:
            raise DamagedError(f"{self._store.url}: the head names another entry {number}")
        with contextlib.suppress(NotFoundError):
            while True:
                self._take([self._find(len(self._entries) + 1)])
        self._check_signatures()
        return self._entries.copy()

    def append(self, event: Event, check: Check | None = None) -> Entry:
        """Write an event down as the newest entry.

        Args:
            check: given the entries before it, raises where they do not allow it. What it saw is
                what the entry follows: nobody else's comes between.

        Raises:
            DamagedError: as for ``entries``, which are read where there is a check.
            RegistryError: what ``check`` raised.
        """
        for attempt in range(ATTEMPTS):
            number, digest, etag = self._head()
            if check is not None:
                self._read_to(number)
                self._check_signatures()
                try:
                    check(self._entries[:number])
                except RegistryError:
                    # A writer that ended before it moved the head has left more to look at.
                    if not self._follow(number, digest, etag):
                        raise
                    continue
            entry = Entry.of(event, number + 1, _now(), digest)
            if self._signer is not None:
                entry = self._signer.signed(entry)
            try:
                self._store.create(entry_key(entry.number), entry.to_json())
            except ExistsError:
                found = self._read(entry.number)
                if found != entry:  # else it is ours: an answer of the store was lost
                    self._move_head(found, digest, etag)
                    time.sleep(random.uniform(0, min(0.005 * 2**attempt, MAX_PAUSE_SECONDS)))  # noqa: S311
                    continue
            self._move_head(entry, digest, etag)
            self._write_pack(entry.number)
            return entry
        raise ConflictError(f"{self._store.url}: others write without a pause")

    def _head(self) -> tuple[int, str, str]:
        """Number and digest of the newest entry, and the head's etag; empty where there is none."""
        try:
            stored = self._store.read(HEAD)
        except NotFoundError:
            return 0, BEGINNING, ""
        try:
            document = json.loads(stored.data)
            return int(document["number"]), str(document["digest"]), stored.etag
        except (ValueError, TypeError, KeyError):
            raise DamagedError(f"{self._store.url}/{HEAD} is no head of a history") from None

    def _move_head(self, entry: Entry, previous: str, etag: str) -> None:
        """To an entry that follows; somebody who was faster has moved it as far at least."""
        if entry.previous != previous:
            raise DamagedError(
                f"{self._store.url}: entry {entry.number} does not follow the one before it"
            )
        data = json.dumps({"number": entry.number, "digest": entry.digest}).encode()
        with contextlib.suppress(ConflictError, ExistsError):
            if etag:
                self._store.replace(HEAD, data, etag)
            else:
                self._store.create(HEAD, data)

    def _follow(self, number: int, digest: str, etag: str) -> bool:
        """Move the head on where there is an entry after it; whether there is."""
        try:
            self._move_head(self._find(number + 1), digest, etag)
        except NotFoundError:
            return False
        return True

    def _find(self, number: int) -> Entry:
        key = entry_key(number)
        return Entry.from_json(self._store.read(key).data, key)

    def _read(self, number: int) -> Entry:
        try:
            return self._find(number)
        except NotFoundError:
            raise DamagedError(f"{self._store.url}: entry {number} is missing") from None

    def _read_to(self, number: int) -> None:
        """Have the entries up to ``number``, of which those that were read before are not again."""
        known = len(self._entries)
        if known >= number:
            return
        packs: list[tuple[int, int]] = []
        start = known
        for size in (PACK, SMALL_PACK):
            last = number // size
            packs += [(size, pack) for pack in range(start // size, last)]
            start = max(start, last * size)
        with ThreadPoolExecutor(READERS) as pool:
            read = pool.map(lambda pack: self._read_pack(*pack), packs)
            found = [entry for pack in read for entry in pack]
            found += pool.map(self._read, range(start + 1, number + 1))
        self._take(entry for entry in found if entry.number > known)

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            last = self._entries[-1] if self._entries else None
            expected = BEGINNING if last is None else last.digest
            if entry.number != len(self._entries) + 1 or entry.previous != expected:
                raise DamagedError(
                    f"{self._store.url}: entry {entry.number} does not follow the one before it"
                )
            self._entries.append(entry)

    def _check_signatures(self) -> None:
        """Of what was read since they were last checked."""
        if self._verifier is None or self._signed == len(self._entries):
            return
        if self._verified is not None and not self._signed:
            number, digest = self._verified.read()
            if 0 < number <= len(self._entries) and self._entries[number - 1].digest == digest:
                self._signed = number
        before = self._signed
        for entry in self._entries[before:]:
            self._verifier.check(entry)
        self._signed = len(self._entries)
        if self._verified is not None and self._signed > before:
            self._verified.write(Point(self._signed, self._entries[-1].digest))

    def _read_pack(self, size: int, pack: int) -> list[Entry]:
        key = _pack_key(size, pack)
        try:
            lines = self._store.read(key).data.splitlines()
        except NotFoundError:
            numbers = range(pack * size + 1, (pack + 1) * size + 1)
            with ThreadPoolExecutor(READERS) as pool:
                return list(pool.map(self._read, numbers))
        return [Entry.from_json(line, key) for line in lines]

    def _write_pack(self, number: int) -> None:
        """Once an entry has filled one. Without it all is the same, but slower."""
        for size in (SMALL_PACK, PACK):
            if number % size:
                continue
            pack = number // size - 1
            with contextlib.suppress(RegistryError):
                lines = [entry.to_json() for entry in self._read_pack(size, pack)]
                self._store.create(_pack_key(size, pack), b"\n".join(lines) + b"\n")


def entry_key(number: int) -> str:
    """Of the object of an entry."""
    return f"history/entries/{number:012d}.json"


def _pack_key(size: int, pack: int) -> str:
    return f"history/packs/{size}/{pack:08d}.jsonl"


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

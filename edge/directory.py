"""The keys as the check knows them: a cache whose entries are never older than a bound.

What is used is read again every ``REFRESH_SECONDS`` for all keys in one query, so that a revoked
key is refused within ``MAX_AGE_SECONDS`` whatever happens: an entry that could not be refreshed in
that time is not used any more, and the request fails closed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict

from accounts.clock import DAY_MS, now_ms
from edge.ledger import Ledger, LedgerDownError
from edge.metrics import TALLY
from edge.records import KeyRecord

REFRESH_SECONDS = 1.5
MAX_AGE_SECONDS = 4.0
IDLE_SECONDS = 60.0
MAX_ENTRIES = 20_000
EXPIRING_DAYS = 7
"""A key in use that ends sooner is counted: whoever uses it should have another by then."""
NEAR_SECONDS = 6
"""What a rate lets through in so many seconds may have been billed since the last reading, at any
replica: ``MAX_AGE_SECONDS``, and what was saved up and drawn before."""

logger = logging.getLogger("edge.directory")


class Allowance:
    """What the keys of one family may still do; lives as long as one of them is in use."""

    def __init__(self, record: KeyRecord) -> None:
        self.update(record)

    def update(self, record: KeyRecord) -> None:
        """Take over what the database says."""
        self._used = record.used_requests
        self._rate = record.rate_per_second

    def is_near(self, quota: int | None, under_way: int) -> bool:
        """Whether a quota may be used up by what has not been read yet, and so is to be counted.

        Args:
            under_way: requests that an account may have under way.
        """
        unread = self._rate * NEAR_SECONDS + 2 * under_way
        return quota is not None and self._used + unread >= quota


class Entry:
    """One hash: a working key, or the knowledge that there is none."""

    __slots__ = ("allowance", "read_at", "record", "used_at")

    def __init__(self, record: KeyRecord | None, allowance: Allowance | None, now: float) -> None:
        self.record = record
        self.allowance = allowance
        self.read_at = now
        self.used_at = now


class Directory:
    """The cache in front of ``Ledger.look_up``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._allowances: dict[str, Allowance] = {}
        self._asked: dict[str, asyncio.Task[Entry]] = {}
        TALLY.watch_keys(self)

    @property
    def expiring(self) -> int:
        """Keys in use that end within ``EXPIRING_DAYS``; may be asked in any thread."""
        soon = now_ms() + EXPIRING_DAYS * DAY_MS
        records = [entry.record for entry in list(self._entries.values())]
        ends = [r.expires_ms for r in records if r is not None and r.expires_ms is not None]
        return sum(end < soon for end in ends)

    async def find(self, key_hash: str) -> Entry:
        """The entry of a hash; raises LedgerDownError if it cannot be read."""
        entry = self._entries.get(key_hash)
        now = time.monotonic()
        if entry is not None and now - entry.read_at <= MAX_AGE_SECONDS:
            entry.used_at = now
            return entry
        task = self._asked.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._read_one(key_hash))
            self._asked[key_hash] = task
            task.add_done_callback(lambda _: self._asked.pop(key_hash, None))
        return await asyncio.shield(task)

    def allowance(self, record: KeyRecord) -> Allowance:
        """Of a key that was found a moment ago, and may have been revoked since."""
        return self._allowances.setdefault(record.family, Allowance(record))

    async def keep_fresh(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except LedgerDownError:
                logger.warning("the keys could not be read again")

    async def refresh(self) -> None:
        """Read again what was used lately and forget the rest."""
        now = time.monotonic()
        for key_hash, entry in list(self._entries.items()):
            if now - entry.used_at > IDLE_SECONDS:
                del self._entries[key_hash]
        families = {e.record.family for e in self._entries.values() if e.record}
        for family in [f for f in self._allowances if f not in families]:
            del self._allowances[family]
        working = [h for h, entry in self._entries.items() if entry.record is not None]
        if working:
            asked = time.monotonic()
            found = await self._ledger.look_up(working)
            for key_hash in working:
                self._take(key_hash, found.get(key_hash), asked)

    async def _read_one(self, key_hash: str) -> Entry:
        asked = time.monotonic()
        found = await self._ledger.look_up([key_hash])
        return self._take(key_hash, found.get(key_hash), asked)

    def _take(self, key_hash: str, record: KeyRecord | None, asked: float) -> Entry:
        allowance = None
        if record is not None:
            allowance = self._allowances.get(record.family)
            if allowance is None:
                allowance = self._allowances[record.family] = Allowance(record)
            else:
                allowance.update(record)
        entry = self._entries.get(key_hash)
        if entry is None:
            entry = self._entries[key_hash] = Entry(record, allowance, asked)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        else:
            entry.record, entry.allowance, entry.read_at = record, allowance, asked
        return entry

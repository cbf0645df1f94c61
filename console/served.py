"""Which revision of a model is served: what the service was told, else what has lately answered.

Where nothing has, as of models that are scaled to zero, what the rollouts' record has live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock

from accounts import usage
from accounts.clock import HOUR_MS, now_ms
from accounts.database import Database
from console.cards import Card, Cards

FRESH_SECONDS = 30.0
"""The record of answers is read that often at most, however many look at the page."""


class ServedCards:
    """Cards of what is served.

    Args:
        told: revisions by model, where whoever started the service knows them.
        read_live: the record of what is live, revisions by model.
    """

    def __init__(
        self,
        cards: Cards,
        told: Mapping[str, str],
        database: Database,
        read_live: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._cards = cards
        self._told = told
        self._database = database
        self._lock = Lock()
        self._read_live = read_live
        self._answering: dict[str, str] = {}
        self._read_at = -FRESH_SECONDS

    def find(self, model: str) -> Card | None:
        """Of the revision that is served; of the newest one where nobody knows which that is."""
        for revision in (self._told.get(model), self._revisions().get(model)):
            if revision and (card := self._cards.find(model, revision)):
                return card
        return self._cards.newest(model)

    def _revisions(self) -> dict[str, str]:
        """What gave most answers in this hour and the one before, by model."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_SECONDS:
                end = now_ms() + 1
                with self._database.read() as session:
                    rows = usage.per_revision(session, end // HOUR_MS * HOUR_MS - HOUR_MS, end)
                by_share = sorted(rows, key=lambda row: row.share)
                answering = {row.model: row.revision for row in by_share if row.requests}
                self._answering = {**self._read_live(), **answering}
                self._read_at = time.monotonic()
            return self._answering

"""Time, as the tables hold it."""

from __future__ import annotations

import time
from datetime import datetime, timezone

SECOND_MS = 1000
HOUR_MS = 3600 * SECOND_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / SECOND_MS, timezone.utc)


def month_of(milliseconds: int) -> str:
    """The calendar month in UTC, as ``2026-11``."""
    return moment(milliseconds).strftime("%Y-%m")


def month_bounds(month: str) -> tuple[int, int]:
    """The first millisecond of a month and of the one after it.

    Raises:
        ValueError: not of the form ``2026-11``.
    """
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=timezone.utc)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()) * SECOND_MS, int(after.timestamp()) * SECOND_MS

"""Time, as the tables hold it."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

SECOND_MS = 1000
HOUR_MS = 3600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
MONTH = re.compile(r"(?:19[789]|2[0-9]{2})[0-9]-(?:0[1-9]|1[0-2])")
"""From 1970 on, in ASCII digits."""
MAX_MS = 32_503_680_000_000
"""The first moment of the year 3000."""


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
    if not MONTH.fullmatch(month):
        # Exactly one way to write a month: 2026-1 would be another bill for it.
        raise ValueError(f"{month[:20]!r} is no month such as 2026-11")
    first = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=timezone.utc)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()) * SECOND_MS, int(after.timestamp()) * SECOND_MS


def month_name(month: str) -> str:
    """``2026-11`` as ``November 2026``; raises ValueError as ``month_bounds`` does."""
    return moment(month_bounds(month)[0]).strftime("%B %Y")

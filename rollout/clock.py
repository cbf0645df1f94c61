"""Time, as something that a test can hold still."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The machine's own."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def moment(self) -> str:
        """Now, in UTC: ``2026-01-02T03:04:05Z``."""
        return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

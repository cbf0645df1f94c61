"""What log lines of a server may cost."""

from __future__ import annotations

import time


class LogRateLimiter:
    """At most so many log lines per second and kind: a flood of failures must not cost more than
    work.

    Args:
        per_second: lines of one kind in any second that begins with the first of them.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._kinds: dict[str, tuple[float, int, int]] = {}

    def count(self, kind: str) -> int | None:
        """None to leave this line out; else how many were left out before it."""
        now = time.monotonic()
        since, logged, left_out = self._kinds.get(kind, (0.0, 0, 0))
        if now - since >= 1:
            since, logged = now, 0
        if logged >= self._per_second:
            self._kinds[kind] = (since, logged, left_out + 1)
            return None
        self._kinds[kind] = (since, logged + 1, 0)
        return left_out

    def forget(self) -> None:
        """Begin anew."""
        self._kinds.clear()

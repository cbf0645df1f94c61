"""How many requests a second: the generic cell rate algorithm (ITU-T I.371, virtual scheduling)."""

from __future__ import annotations


class RateLimit:
    """Lets ``rate_per_second`` through, and as many at once after a second of quiet."""

    def __init__(self, rate_per_second: int) -> None:
        self.rate_per_second = rate_per_second
        self._interval = 1.0 / rate_per_second
        self._due = 0.0

    def wait_seconds(self, now: float) -> float:
        """0 and counted, or the time until a request would be let through, and not counted."""
        due = max(self._due, now)
        ahead = due + self._interval - now - 1.0
        if ahead > 1e-9:
            return ahead
        self._due = due + self._interval
        return 0.0

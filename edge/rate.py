"""How many requests a second a key or a domain may send, whichever replica of the check they reach.

The bucket is a row of the database, by the generic cell rate algorithm (ITU-T I.371, virtual
scheduling). A replica draws a tenth of a second's worth from it at a time and gives that out by
itself, so that a request waits for the database now and then and not every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEASES_A_SECOND = 10
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Draw:
    """What a replica wants from a bucket."""

    bucket: str
    rate_per_second: int
    tokens: int


@dataclass(frozen=True)
class Lease:
    """Attributes:
    tokens: requests that the replica may let through.
    wait_seconds: where there are none, the time until there will be one.
    """

    tokens: int
    wait_seconds: float = 0.0


def draw(due_ns: int, now_ns: int, rate_per_second: int, wanted: int) -> tuple[int, Lease]:
    """The bucket after so many tokens, or those that there are, were taken out of it.

    Args:
        due_ns: the bucket: when it would be full again, had it been asked for nothing more.
    """
    interval = NANOSECONDS / rate_per_second
    due = max(due_ns, now_ns)
    # A second of quiet lets a second's worth through at once.
    tokens = min(wanted, int((now_ns + NANOSECONDS - due) / interval + 1e-3))
    if tokens > 0:
        # Rounded up: never more than the rate.
        return due + math.ceil(tokens * interval), Lease(tokens)
    return due_ns, Lease(0, (due + interval - now_ns - NANOSECONDS) / NANOSECONDS)


class Tokens:
    """What this replica has drawn and not given out yet."""

    def __init__(self, rate_per_second: int) -> None:
        self.rate_per_second = rate_per_second
        self.lease = max(1, rate_per_second // LEASES_A_SECOND)
        self._left = 0
        self._refused_until = 0.0

    @property
    def are_low(self) -> bool:
        """Whether to draw more before somebody has to wait for it."""
        return self._left <= self.lease // 2

    def take(self) -> bool:
        """One of those that there are."""
        self._left -= (found := self._left > 0)
        return found

    def add(self, lease: Lease, now: float) -> None:
        self._left += lease.tokens
        if not lease.tokens:
            self._refused_until = now + lease.wait_seconds

    def refused_seconds(self, now: float) -> float:
        """For how long the bucket is known to be empty: nobody has to ask it meanwhile."""
        return max(0.0, self._refused_until - now)

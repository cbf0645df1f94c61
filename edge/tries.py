"""Tries without a key: a few a day for each address, so that the page answers whoever looks at it.

They are counted in the check's memory, by the day (UTC). What all of them may cost together is on
record, too: they are requests of the house's account, under its key's rate and monthly quota.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from accounts.client_address import client_address
from accounts.clock import DAY_MS, SECOND_MS
from edge.denied import DeniedError

MAX_BYTES = 8 << 20
"""Of a try's body: a phone's picture."""
MAX_AT_ONCE = 2
"""Tries that an address may have under way, of the share that all of them have together."""


@dataclass(frozen=True)
class TryLimits:
    """How many tries a day there are.

    Attributes:
        per_address: 0: none.
        trusted_proxies: see ``client_address``.
    """

    per_address: int = 0
    in_all: int = 0
    trusted_proxies: int = 0


class Try(NamedTuple):
    """Attributes:
    address: who has it.
    left: how many more there are for that address today.
    """

    address: str
    left: int


class Tries:
    """Counts by address, and forgets at midnight."""

    def __init__(self, limits: TryLimits) -> None:
        self._limits = limits
        self._day = 0
        self._used: Counter[str] = Counter()
        """Never more addresses than tries in all."""

    @property
    def are_given(self) -> bool:
        return self._limits.per_address > 0

    def take(self, headers: Mapping[str, str], peer: str, now_ms: int) -> Try:
        """Count one more, before anything is waited for: of many at once, no more than there are.

        Raises:
            DeniedError: the address, or all of them, have had theirs, or it is no small request of
                our own page or of a program.
        """
        if headers["sec-fetch-site"] == "cross-site":
            # Another site would spend its visitors' tries.
            raise DeniedError(403, "forbidden", "a try is asked for from our own page")
        length = headers["content-length"]
        if not length.isdecimal():
            raise DeniedError(411, "length_required", "a try says how long it is")
        if len(length) > 9 or int(length) > MAX_BYTES:
            raise DeniedError(
                413, "too_large", f"a try has {MAX_BYTES >> 20} MiB at most; a key may send more"
            )
        if now_ms // DAY_MS != self._day:
            self._day = now_ms // DAY_MS
            self._used.clear()
        limits = self._limits
        address = client_address(headers["x-forwarded-for"], limits.trusted_proxies, peer)
        if self._used[address] >= limits.per_address or self._used.total() >= limits.in_all:
            wait = (DAY_MS - now_ms % DAY_MS) // SECOND_MS + 1
            raise DeniedError(
                429,
                "tries_used_up",
                "the tries without a key are used up for today; sign up and make a key",
                {"retry-after": str(wait)},
            )
        self._used[address] += 1
        left = min(limits.per_address - self._used[address], limits.in_all - self._used.total())
        return Try(address, left)

    def give_back(self, address: str) -> None:
        """A try that reached no model."""
        if self._used[address] > 1:
            self._used[address] -= 1
        else:
            del self._used[address]

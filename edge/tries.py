"""Tries without a key: a few a day for each address, so that the page answers whoever looks at it.

They are requests of the house's account, under its key's rate and monthly quota; their ids begin
with the day (UTC) and a hash of the address, by which the ledger counts them for every replica.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from accounts.client_address import client_address
from accounts.clock import DAY_MS, SECOND_MS, moment
from accounts.secret_tokens import token_hash
from edge.denied import DeniedError
from edge.records import Tried

MAX_BYTES = 8 << 20
"""Of a try's body: a phone's picture."""
MAX_AT_ONCE = 2
"""Tries that an address may have under way, of the share that all of them have together."""
ADDRESS_CHARACTERS = 16
MAX_KNOWN = 10_000
"""Addresses that are known to have had theirs."""


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


class Tries:
    """Which requests are tries, and who is known to have had theirs."""

    def __init__(self, limits: TryLimits) -> None:
        self._limits = limits
        self._day = ""
        self._used_up: set[str] = set()
        """Prefixes of the day, so that nobody who has had theirs reaches the database."""

    @property
    def are_given(self) -> bool:
        return self._limits.per_address > 0

    def ask(self, headers: Mapping[str, str], peer: str, now_ms: int) -> Tried:
        """A try, if it is one; the ledger counts it.

        Raises:
            DeniedError: the address, or all of them, are known to have had theirs, or it is no
                small request of our own page or of a program.
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
        limits = self._limits
        day = f"{moment(now_ms):%Y%m%d}."
        if day != self._day:
            self._day = day
            self._used_up.clear()
        address = client_address(headers["x-forwarded-for"], limits.trusted_proxies, peer)
        # Hashed so that the events are no list of addresses.
        name = token_hash(f"{day}{address}")[:ADDRESS_CHARACTERS]
        tried = Tried(day, f"{day}{name}.", limits.per_address, limits.in_all, MAX_AT_ONCE)
        if tried.address in self._used_up:
            raise used_up(now_ms)
        return tried

    def remember(self, tried: Tried) -> None:
        """The ledger says that the day's tries of the address are used up."""
        if len(self._used_up) < MAX_KNOWN:
            self._used_up.add(tried.address)


def try_id(tried: Tried) -> str:
    """A new request id of a try."""
    return f"{tried.address}{uuid.uuid4()}"


def used_up(now_ms: int) -> DeniedError:
    """Until midnight (UTC)."""
    wait = (DAY_MS - now_ms % DAY_MS) // SECOND_MS + 1
    return DeniedError(
        429,
        "tries_used_up",
        "the tries without a key are used up for today; sign up and make a key",
        {"retry-after": str(wait)},
    )

"""What a customer's domain lets through, as the check knows it; read anew all the time."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Mapping

from accounts.domains import DomainRules, held
from accounts.keys import ALL_MODELS
from accounts.secret_tokens import token_hash
from edge.denied import DeniedError
from edge.directory import MAX_AGE_SECONDS, REFRESH_SECONDS
from edge.ledger import Ledger, LedgerDownError

ORIGINAL_HOST = "k-original-host"
"""Whom a request was for that Knative has mapped to the edge, whose own name is then its host."""
_EDGE = re.compile(r"edge\.[a-z0-9-]+\.svc(\.cluster\.local)?")

logger = logging.getLogger("edge.hosts")


class Served:
    """A customer's domain, and how fast it may be asked."""

    def __init__(self, name: str, rules: DomainRules) -> None:
        self.rules = rules
        self._name = name

    def update(self, rules: DomainRules) -> None:
        self.rules = rules

    def require(self, account_id: str, model: str) -> None:
        """Raises DeniedError unless this account may ask this model here."""
        if self.rules.account_id != account_id:
            raise DeniedError(
                403, "forbidden", f"this key is of another customer than {self._name}"
            )
        if model and not self.rules.models & {model, ALL_MODELS}:
            raise DeniedError(403, "forbidden", f"{self._name} does not answer for model {model}")

    @property
    def bucket(self) -> str:
        """Of its rate; a name may be longer than one's."""
        return token_hash(self._name)

    def over_rate(self, wait_seconds: float) -> DeniedError:
        return DeniedError(
            429,
            "over_rate",
            f"{self._name} takes {self.rules.rate_per_second} requests a second",
            {"retry-after": str(math.ceil(wait_seconds))},
        )


class Hosts:
    """Domains that are somebody's; none where they have not been read yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._served: dict[str, Served] = {}
        self._read_at: float | None = None

    def find(self, host: str, headers: Mapping[str, str]) -> Served | None:
        """The domain that a request is for; None where it is nobody's.

        Raises:
            LedgerDownError: they have not been read again for too long.
        """
        if self._read_at is not None and time.monotonic() - self._read_at > MAX_AGE_SECONDS:
            raise LedgerDownError
        name = host.lower().partition(":")[0].removesuffix(".")
        if _EDGE.fullmatch(name) and (told := headers[ORIGINAL_HOST]):
            # The last one is Knative's own, whatever came with the request.
            name = told.rpartition(",")[2].strip().lower()
        return self._served.get(name)

    async def keep_fresh(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self.refresh()
            except LedgerDownError:
                logger.warning("the domains could not be read again")
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Raises LedgerDownError."""
        asked = time.monotonic()
        found = await self._ledger.read(held)
        for name in self._served.keys() - found.keys():
            del self._served[name]
        for name, rules in found.items():
            if name in self._served:
                self._served[name].update(rules)
            else:
                self._served[name] = Served(name, rules)
        self._read_at = asked

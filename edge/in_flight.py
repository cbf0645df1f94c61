"""Requests under way, so that each account has a share of the service and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.metrics import TALLY

LOST_SECONDS = 150.0
"""A request whose end is not heard of by then has ended: no route lets one last that long."""


BEING_READ = 4
"""Answers that an account may be reading, as a multiple of the requests that it may have waiting:
they cost a connection each, and their end is heard of a moment late."""


@dataclass
class Attempt:
    """Attributes:
    sharers: whose shares it is a part of.
    answered: whether its answer's headers have been seen.
    """

    sharers: tuple[str, ...]
    since: float
    answered: bool = False


@dataclass
class Share:
    """What an account, or an address without one, has under way.

    Attributes:
        limit: of requests without an answer.
    """

    limit: int

    attempts: set[int] = field(default_factory=set)
    waiting: int = 0
    """Those without an answer yet."""


class InFlight:
    """Counts from the check of a request until Envoy says that it has ended, whichever way.

    Args:
        max_per_account: requests without an answer that an account may have under way.
    """

    def __init__(self, max_per_account: int) -> None:
        self.max_per_account = max_per_account
        self._attempts: dict[int, Attempt] = {}
        self._shares: dict[str, Share] = {}
        TALLY.watch_shares(self)

    @property
    def count(self) -> int:
        """Requests under way."""
        return len(self._attempts)

    def begin(
        self, account_id: str, attempt_id: int, now: float, others: Mapping[str, int] | None = None
    ) -> bool:
        """Count one more; False, and not counted, where somebody has their share already.

        Args:
            others: whose shares it is a part of besides the account's, with their limits.
        """
        limits = {account_id: self.max_per_account, **(others or {})}
        for name in limits:
            share = self._shares.get(name)
            if share is None or not _is_used_up(share):
                continue
            for lost in [a for a in share.attempts if now - self._attempts[a].since > LOST_SECONDS]:
                self.end(lost)
            if _is_used_up(share):
                return False
        self._attempts[attempt_id] = Attempt(tuple(limits), now)
        for name, limit in limits.items():
            share = self._shares.setdefault(name, Share(limit))
            share.attempts.add(attempt_id)
            share.waiting += 1
        return True

    def waiting(self, name: str) -> int:
        """Requests of an account without an answer, as far as this replica knows."""
        share = self._shares.get(name)
        return share.waiting if share else 0

    def answered(self, attempt_id: int) -> None:
        attempt = self._attempts.get(attempt_id)
        if attempt is not None and not attempt.answered:
            attempt.answered = True
            for name in attempt.sharers:
                self._shares[name].waiting -= 1

    def end(self, attempt_id: int) -> Attempt | None:
        """What was known of it; None if it was not counted, or not by this process."""
        attempt = self._attempts.pop(attempt_id, None)
        if attempt is not None:
            for name in attempt.sharers:
                share = self._shares[name]
                share.attempts.discard(attempt_id)
                share.waiting -= not attempt.answered
                if not share.attempts:
                    del self._shares[name]
        return attempt

    def forget_all(self) -> None:
        """An Envoy has gone, and with it the ends of what it had under way. The others' requests
        are forgotten too: their accounts may have more than their share for as long as those last.
        """
        self._attempts.clear()
        self._shares.clear()


def _is_used_up(share: Share) -> bool:
    return share.waiting >= share.limit or len(share.attempts) >= share.limit * BEING_READ

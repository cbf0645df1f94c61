"""Requests under way, so that each account has a share of the service and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

LOST_SECONDS = 150.0
"""A request whose end is not heard of by then has ended: no route lets one last that long."""


BEING_READ = 4
"""Answers that an account may be reading, as a multiple of the requests that it may have waiting:
they cost a connection each, and their end is heard of a moment late."""


@dataclass
class Attempt:
    """Attributes:
    answered: whether its answer's headers have been seen.
    """

    account_id: str
    since: float
    answered: bool = False


@dataclass
class Share:
    """What an account has under way."""

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

    def begin(self, account_id: str, attempt_id: int, now: float) -> bool:
        """Count one more; False, and not counted, where the account has its share already."""
        share = self._shares.get(account_id)
        if share is not None and self._is_used_up(share):
            for lost in [a for a in share.attempts if now - self._attempts[a].since > LOST_SECONDS]:
                self.end(lost)
            if self._is_used_up(share):
                return False
        self._attempts[attempt_id] = Attempt(account_id, now)
        share = self._shares.setdefault(account_id, Share())
        share.attempts.add(attempt_id)
        share.waiting += 1
        return True

    def answered(self, attempt_id: int) -> None:
        attempt = self._attempts.get(attempt_id)
        if attempt is not None and not attempt.answered:
            attempt.answered = True
            self._shares[attempt.account_id].waiting -= 1

    def end(self, attempt_id: int) -> Attempt | None:
        """What was known of it; None if it was not counted, or not by this process."""
        attempt = self._attempts.pop(attempt_id, None)
        if attempt is not None:
            share = self._shares[attempt.account_id]
            share.attempts.discard(attempt_id)
            share.waiting -= not attempt.answered
            if not share.attempts:
                del self._shares[attempt.account_id]
        return attempt

    def forget_all(self) -> None:
        """An Envoy has gone, and with it the ends of what it had under way. The others' requests
        are forgotten too: their accounts may have more than their share for as long as those last.
        """
        self._attempts.clear()
        self._shares.clear()

    def _is_used_up(self, share: Share) -> bool:
        return (
            share.waiting >= self.max_per_account
            or len(share.attempts) >= self.max_per_account * BEING_READ
        )

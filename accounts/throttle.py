"""Limits on how often something may be tried, counted in the database: every replica sees them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from accounts.clock import SECOND_MS, now_ms
from accounts.errors import TooMany
from accounts.tables import Attempt


@dataclass(frozen=True)
class Limit:
    """At most ``attempts`` in ``seconds``."""

    name: str
    attempts: int
    seconds: int


def require_under(session: Session, limit: Limit, *subjects: str) -> None:
    """Raises TooMany if any of the subjects has used its attempts up."""
    now = now_ms()
    since = now - limit.seconds * SECOND_MS
    for subject in subjects:
        count, oldest = session.execute(
            select(func.count(), func.min(Attempt.at_ms)).where(
                Attempt.subject == _hashed(limit, subject), Attempt.at_ms > since
            )
        ).one()
        if count >= limit.attempts:
            raise TooMany(max(1, -(-(oldest - since) // SECOND_MS)))


def count_attempt(session: Session, limit: Limit, *subjects: str) -> None:
    for subject in subjects:
        session.add(Attempt(subject=_hashed(limit, subject), at_ms=now_ms()))


def forget_attempts(session: Session, older_than_ms: int) -> None:
    session.execute(delete(Attempt).where(Attempt.at_ms < older_than_ms))


def _hashed(limit: Limit, subject: str) -> str:
    # Hashed so that the table is no list of addresses.
    return hashlib.sha256(f"{limit.name}|{subject}".encode()).hexdigest()

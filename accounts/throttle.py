"""Limits on how often something may be tried, counted in the database: every replica sees them.

An attempt is counted before the work that it asks for, in a transaction that holds a lock on its
subjects: however many come at the same time, no more than the limit begin. What turns out to be
right is given back afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, delete, func, select
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from accounts.clock import SECOND_MS, now_ms
from accounts.errors import TooManyAttemptsError
from accounts.tables import Attempt, AttemptSubject


@dataclass(frozen=True)
class Limit:
    """At most ``attempts`` in ``seconds``."""

    name: str
    attempts: int
    seconds: int


@dataclass(frozen=True)
class Subject:
    """Who tries, under one limit."""

    limit: Limit
    name: str

    @property
    def hashed(self) -> str:
        # Hashed so that the table is no list of addresses.
        text = f"{self.limit.name}|{self.name}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def count_attempt(session: Session, *subjects: Subject) -> list[int]:
    """Count an attempt of each subject; commit it before the work begins.

    Returns:
        What ``give_back`` takes.

    Raises:
        TooManyAttemptsError: one of them has used its attempts up; nothing is counted.
    """
    # In one order: two transactions cannot wait for each other.
    ordered = sorted(subjects, key=lambda subject: subject.hashed)
    for subject in ordered:
        _lock(session, subject)
    now = now_ms()
    for subject in ordered:
        since = now - subject.limit.seconds * SECOND_MS
        count, oldest = session.execute(
            select(func.count(), func.min(Attempt.at_ms)).where(
                Attempt.subject == subject.hashed, Attempt.at_ms > since
            )
        ).one()
        if count >= subject.limit.attempts:
            raise TooManyAttemptsError(max(1, -(-(oldest - since) // SECOND_MS)))
    rows = [Attempt(subject=subject.hashed, at_ms=now) for subject in ordered]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def give_back(session: Session, attempts: Sequence[int]) -> None:
    """Attempts that succeeded do not count."""
    session.execute(delete(Attempt).where(Attempt.id.in_(attempts)))


def forget_attempts(session: Session, older_than_ms: int) -> None:
    session.execute(delete(Attempt).where(Attempt.at_ms < older_than_ms))
    session.execute(delete(AttemptSubject).where(AttemptSubject.at_ms < older_than_ms))


def _lock(session: Session, subject: Subject) -> None:
    """Hold the subject until the transaction ends.

    On SQLite a transaction that writes is alone from its beginning. On MariaDB the statement takes
    an exclusive lock on the row whether it is there or not, which a SELECT … FOR UPDATE does not.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    table = cast(Table, AttemptSubject.__table__)
    statement = mysql.insert(table).values(subject=subject.hashed, at_ms=now_ms())
    session.execute(statement.on_duplicate_key_update(at_ms=statement.inserted.at_ms))

"""The audit log: who did what to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.tables import AuditEntry

NOBODY = ""
"""The actor where nobody is logged in; of the command line it is ``operator's shell``."""
SHELL = "shell"


@dataclass(frozen=True)
class Entry:
    """One change: who did what to whose account, and why."""

    at_ms: int
    actor_id: str
    account_id: str
    action: str
    detail: str
    why: str


FIELDS = tuple(field.name for field in fields(Entry))


def record(
    session: Session,
    action: str,
    account_id: str,
    actor_id: str | None = None,
    detail: str = "",
    why: str = "",
) -> None:
    """Add an entry to the session's transaction: what is not done is not logged either.

    Args:
        action: noun and verb, such as ``key revoked``.
        actor_id: who did it, if not the account itself.
        detail: never a secret.
        why: the reason that somebody gives who changes what is not their own.
    """
    actor = account_id if actor_id is None else actor_id
    session.add(
        AuditEntry(
            at_ms=now_ms(),
            actor_id=actor,
            account_id=account_id,
            action=action,
            detail=detail[:500],
            why=why[:500],
        )
    )


def entries(
    session: Session,
    start_ms: int,
    end_ms: int,
    account_id: str | None = None,
    last: int | None = None,
) -> Iterator[Entry]:
    """What was changed in a time, the newest first.

    Args:
        account_id: only what this account did, or what was done to it.
        last: that many at most.
    """
    wanted = select(AuditEntry).where(AuditEntry.at_ms >= start_ms, AuditEntry.at_ms < end_ms)
    if account_id is not None:
        wanted = wanted.where(
            (AuditEntry.account_id == account_id) | (AuditEntry.actor_id == account_id)
        )
    wanted = wanted.order_by(AuditEntry.id.desc()).limit(last)
    for row in session.scalars(wanted.execution_options(yield_per=500)):
        yield Entry(*(getattr(row, name) for name in FIELDS))

"""The audit log: who did what to whom."""

from __future__ import annotations

from sqlalchemy.orm import Session

from accounts.clock import now_ms
from accounts.tables import AuditEntry

NOBODY = ""
"""The actor where nobody is logged in; of the command line it is ``operator's shell``."""
SHELL = "shell"


def record(
    session: Session, action: str, account_id: str, actor_id: str | None = None, detail: str = ""
) -> None:
    """Add an entry to the session's transaction: what is not done is not logged either.

    Args:
        action: noun and verb, such as ``key revoked``.
        actor_id: who did it, if not the account itself.
        detail: never a secret.
    """
    actor = account_id if actor_id is None else actor_id
    session.add(
        AuditEntry(
            at_ms=now_ms(),
            actor_id=actor,
            account_id=account_id,
            action=action,
            detail=detail[:500],
        )
    )

"""``/api/v1/usage``: one's own by windows, and what an operator sees of everybody's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter

from accounts import usage
from accounts.people import Login
from accounts.routes.asking import Behind, From, To, Who, holder_of, span

router = APIRouter()


@router.get("/usage")
def windows(
    login: Who,
    service: Behind,
    start: From = None,
    end: To = None,
    size: usage.WindowSize = "day",
) -> list[dict[str, Any]]:
    with service.database.read() as session:
        found = usage.windows(session, login.account_id, *span(start, end), size)
    return [asdict(window) for window in found]


@router.get("/operator/accounts")
def totals(
    _: Annotated[Login, holder_of("usage")], service: Behind, start: From = None, end: To = None
) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(row) for row in usage.per_account(session, *span(start, end))]


@router.get("/operator/revisions")
def revisions(
    _: Annotated[Login, holder_of("operations")],
    service: Behind,
    start: From = None,
    end: To = None,
) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(row) for row in usage.per_revision(session, *span(start, end))]

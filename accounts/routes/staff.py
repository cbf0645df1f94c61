"""The JSON API's routes that take a right beyond one's own account: ``/api/v1/operator``."""

# Without postponed annotations: FastAPI could not resolve those that name what is in a function.
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from accounts import audit, invoices, keys, staff
from accounts.clock import DAY_MS, MAX_MS, now_ms
from accounts.csv_text import csv_lines
from accounts.errors import ForbiddenError
from accounts.people import Login
from accounts.service import Service

Why = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
From = Annotated[int | None, Query(alias="from", ge=0, le=MAX_MS)]
To = Annotated[int | None, Query(alias="to", ge=0, le=MAX_MS)]


class Reason(BaseModel):
    """What somebody says who changes what is not their own."""

    model_config = ConfigDict(extra="forbid")

    why: Why


class RoleChange(Reason):
    email: str
    roles: list[str]


def span(start: From = None, end: To = None) -> tuple[int, int]:
    """Milliseconds; the last 31 days where nothing else is said."""
    end = now_ms() + DAY_MS if end is None else end
    return (end - 31 * DAY_MS if start is None else start), end


Span = Annotated[tuple[int, int], Depends(span)]


def require(login: Login, right: str) -> None:
    """Raises ForbiddenError for somebody who has no role with this right."""
    if not login.may(right):
        raise ForbiddenError(f"none of your roles has the right {right!r}")


def holder_of(who: Callable[..., Login], right: str) -> Any:
    """A dependency: who asks, if they have the right."""

    def holder(login: Annotated[Login, Depends(who)]) -> Login:
        require(login, right)
        return login

    return Depends(holder)


def staff_api(service: Service, who: Callable[..., Login]) -> APIRouter:
    """People's roles, what was changed, other people's keys and bills.

    Args:
        who: the dependency that says who asks.
    """
    router = APIRouter(prefix="/operator")
    database = service.database

    @router.get("/people")
    def people(_: Annotated[Login, holder_of(who, "roles")]) -> list[dict[str, Any]]:
        with database.read() as session:
            return [asdict(member) for member in staff.members(session)]

    @router.post("/people/roles", status_code=204)
    def change_roles(body: RoleChange, login: Annotated[Login, holder_of(who, "roles")]) -> None:
        with database.write() as session:
            staff.set_roles(session, body.email, body.roles, login.account_id, body.why)

    @router.get("/audit")
    def changes(
        _: Annotated[Login, holder_of(who, "audit")],
        start: From = None,
        end: To = None,
        account: str | None = None,
        form: Literal["ndjson", "csv"] = "ndjson",
    ) -> Response:
        first, last = span(start, end)

        def lines() -> Iterator[str]:
            with database.read() as session:
                found = (asdict(e) for e in audit.entries(session, first, last, account))
                if form == "csv":
                    yield from csv_lines(chain([audit.FIELDS], (e.values() for e in found)))
                else:
                    for entry in found:
                        yield json.dumps(entry) + "\n"

        media_type = "text/csv" if form == "csv" else "application/x-ndjson"
        return StreamingResponse(lines(), media_type=media_type)

    @router.post("/keys/{key_id}/revocation", status_code=204)
    def revoke_key(
        key_id: str, body: Reason, login: Annotated[Login, holder_of(who, "revoke-keys")]
    ) -> None:
        with database.write() as session:
            keys.revoke_any_key(session, key_id, login.account_id, body.why)

    @router.get("/invoices")
    def bills(
        _: Annotated[Login, holder_of(who, "bills")], account: str | None = None
    ) -> list[dict[str, Any]]:
        with database.read() as session:
            return [bill.as_json() for bill in invoices.issued(session, account)]

    @router.post("/invoices/{number}/void")
    def void(
        number: int, body: Reason, login: Annotated[Login, holder_of(who, "void-bills")]
    ) -> dict[str, str]:
        with database.write() as session:
            return {"month": invoices.void(session, number, login.account_id, body.why)}

    return router

"""``/api/v1/operator/people``, ``/audit``: who has which roles, and what was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from accounts import audit, staff
from accounts.csv_text import csv_lines
from accounts.people import Login
from accounts.routes.asking import Behind, From, To, holder_of, span
from accounts.routes.reason import Reason

router = APIRouter(prefix="/operator")

GivesRoles = Annotated[Login, holder_of("roles")]


class RoleChange(Reason):
    email: str
    roles: list[str]


@router.get("/people")
def people(_: GivesRoles, service: Behind) -> list[dict[str, Any]]:
    with service.database.read() as session:
        return [asdict(member) for member in staff.members(session)]


@router.post("/people/roles", status_code=204)
def change_roles(body: RoleChange, login: GivesRoles, service: Behind) -> None:
    with service.database.write() as session:
        staff.set_roles(session, body.email, body.roles, login.account_id, body.why)


@router.get("/audit")
def changes(
    _: Annotated[Login, holder_of("audit")],
    service: Behind,
    start: From = None,
    end: To = None,
    account: str | None = None,
    form: Literal["ndjson", "csv"] = "ndjson",
) -> Response:
    first, last = span(start, end)

    def lines() -> Iterator[str]:
        with service.database.read() as session:
            found = (asdict(e) for e in audit.entries(session, first, last, account))
            if form == "csv":
                yield from csv_lines(chain([audit.FIELDS], (e.values() for e in found)))
            else:
                for entry in found:
                    yield json.dumps(entry) + "\n"

    media_type = "text/csv" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(lines(), media_type=media_type)

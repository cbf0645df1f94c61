"""Operators' pages of people's roles and of what was changed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import audit, staff
from accounts.clock import DAY_MS, now_ms
from accounts.errors import AccountsError, InvalidValueError, NotFoundError
from accounts.people import Login, emails_of
from accounts.service import Service
from common.roles import read_roles
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visit, Visits

LATEST = 200
DAYS = 31
PEOPLE = "/operator/people"


def require_right(visits: Visits, request: Request, right: str) -> tuple[Visit, Login]:
    """Raises NotFoundError: to everybody else the page does not exist."""
    visit, login = visits.require(request)
    if not login.may(right):
        raise NotFoundError("there is nothing at this URL")
    return visit, login


def staff_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    database = service.database
    known = read_roles()

    def shown() -> dict[str, Any]:
        with database.read() as session:
            return {"members": staff.members(session), "roles": list(known.roles.values())}

    @router.get(PEOPLE)
    def people(request: Request) -> Response:
        visit, _ = require_right(visits, request, "roles")
        return pages.render(request, visit, "people", **shown())

    @router.post(PEOPLE)
    def change_roles(request: Request, form: Form) -> Response:
        visit, login = require_right(visits, request, "roles")
        roles = [str(role) for role in form.getlist("roles")]
        try:
            visits.require_own_form(request, visit, form)
            why = str(form.get("why", "")).strip()
            if not why:
                raise InvalidValueError("say why: it stands in the list of changes", "why")
            with database.write() as session:
                email = str(form.get("email", ""))
                staff.set_roles(session, email, roles, login.account_id, why)
        except AccountsError as error:
            return pages.refused(request, visit, "people", error, **shown())
        return see_other(PEOPLE)

    @router.get("/operator/audit")
    def changes(request: Request, account: str = "") -> Response:
        visit, _ = require_right(visits, request, "audit")
        end = now_ms() + 1
        with database.read() as session:
            found = audit.entries(session, end - DAYS * DAY_MS, end, account or None, LATEST)
            entries = list(found)
            named = {name for e in entries for name in (e.actor_id, e.account_id)}
            emails = emails_of(session, list(named))
        values: dict[str, Any] = {"entries": entries, "emails": emails}
        values |= {"account": account, "days": DAYS}
        return pages.render(request, visit, "audit", **values)

    return router

"""The page of an account."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts.errors import AccountsError
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visits


def account_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """What it is, another password, and its end."""
    router = APIRouter(include_in_schema=False)
    people = service.people

    @router.get("/account")
    def account(request: Request) -> Response:
        visit = visits.of(request)
        if visit.login is None:
            return see_other("/login")
        return pages.render(request, visit, "account")

    @router.post("/account/{action}")
    def change(request: Request, action: str, form: Form) -> Response:
        visit = visits.of(request)
        if visit.login is None:
            return see_other("/login")
        try:
            visits.require_own_form(request, visit, form)
            account_id = visit.login.account_id
            if action == "password":
                old, new = str(form.get("old", "")), str(form.get("new", ""))
                people.change_password(account_id, old, new)
            elif action == "close":
                people.close(account_id, str(form.get("password", "")))
        except AccountsError as error:
            return pages.refused(request, visit, "account", error)
        response = see_other("/login")
        visits.close(response)
        return response

    return router

"""Pages where somebody logs in or out, or has forgotten the password."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts.errors import AccountsError
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visits


def log_in_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """Login, logout and reset."""
    router = APIRouter(include_in_schema=False)
    people = service.people

    @router.get("/login")
    def login_form(request: Request) -> Response:
        return pages.render(request, visits.of(request), "login", email="")

    @router.post("/login")
    def log_in(request: Request, form: Form) -> Response:
        visit = visits.of(request)
        email = str(form.get("email", ""))
        try:
            visits.require_own_form(request, visit, form)
            opened = people.log_in(email, str(form.get("password", "")), service.client(request))
        except AccountsError as error:
            return pages.refused(request, visit, "login", error, email=email)
        response = see_other("/keys")
        visits.open(response, opened)
        return response

    @router.post("/logout")
    def log_out(request: Request, form: Form) -> Response:
        visits.require_own_form(request, visits.of(request), form)
        people.log_out(visits.token(request))
        response = see_other("/")
        visits.close(response)
        # What the browser still has of the person's pages goes too.
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response

    @router.get("/reset")
    def reset_form(request: Request, token: str = "") -> Response:
        return pages.render(request, visits.of(request), "reset", token=token, done=False)

    @router.post("/reset")
    def reset(request: Request, form: Form) -> Response:
        visit = visits.of(request)
        token = str(form.get("token", ""))
        try:
            visits.require_own_form(request, visit, form)
            if token:
                password = str(form.get("password", ""))
                people.reset_password(token, password, service.client(request))
            else:
                people.ask_reset(str(form.get("email", "")), service.client(request))
        except AccountsError as error:
            return pages.refused(request, visit, "reset", error, token=token, done=False)
        if token:
            return see_other("/login")
        return pages.render(request, visit, "reset", token="", done=True)

    return router

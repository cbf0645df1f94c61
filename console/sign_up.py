"""Pages for people who are not logged in, and the page of an account."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts.errors import AccountsError
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visits


def sign_up(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """Registration, verification, login, logout, reset, and the account's own page."""
    router = APIRouter(include_in_schema=False)
    people = service.people

    @router.get("/register")
    def register_form(request: Request) -> Response:
        return pages.render(request, visits.of(request), "register", email="", done=False)

    @router.post("/register")
    def register(request: Request, form: Form) -> Response:
        visit = visits.of(request)
        email = str(form.get("email", ""))
        try:
            visits.require_own_form(request, visit, form)
            people.register(email, str(form.get("password", "")), service.client(request))
        except AccountsError as error:
            return pages.refused(request, visit, "register", error, email=email, done=False)
        return pages.render(request, visit, "register", email=email, done=True)

    @router.get("/verify")
    def verify_form(request: Request, token: str = "") -> Response:
        return pages.render(request, visits.of(request), "verify", token=token)

    @router.post("/verify")
    def verify(request: Request, form: Form) -> Response:
        visit = visits.of(request)
        token = str(form.get("token", ""))
        try:
            visits.require_own_form(request, visit, form)
            people.verify(token, str(form.get("password", "")))
        except AccountsError as error:
            return pages.refused(request, visit, "verify", error, token=token)
        return see_other("/login?verified=1")

    @router.get("/login")
    def login_form(request: Request, verified: str = "") -> Response:
        visit = visits.of(request)
        return pages.render(request, visit, "login", email="", verified=bool(verified))

    @router.post("/login")
    def log_in(request: Request, form: Form) -> Response:
        visit = visits.of(request)
        email = str(form.get("email", ""))
        try:
            visits.require_own_form(request, visit, form)
            opened = people.log_in(email, str(form.get("password", "")), service.client(request))
        except AccountsError as error:
            return pages.refused(request, visit, "login", error, email=email, verified=False)
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

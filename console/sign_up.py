"""Pages for people who are not logged in, and the page of an account."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounts import keys
from accounts.errors import AccountsError
from accounts.secret_tokens import new_token
from accounts.service import Service
from accounts.tables import Account
from console.form import Form
from console.keys import FIRST_NAME, KeysPage
from console.pages import Pages, see_other
from console.visit import Visit, Visits


def sign_up(service: Service, visits: Visits, pages: Pages, keys_page: KeysPage) -> APIRouter:
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
        browser = visits.browser(request) or new_token()
        try:
            visits.require_own_form(request, visit, form)
            password = str(form.get("password", ""))
            people.register(email, password, service.client(request), browser)
        except AccountsError as error:
            return pages.refused(request, visit, "register", error, email=email, done=False)
        response = pages.render(request, visit, "register", email=email, done=True)
        visits.remember_browser(response, browser)
        return response

    @router.get("/verify")
    def verify_form(request: Request, token: str = "") -> Response:
        try:
            known = people.registered_in(token, visits.browser(request))
        except AccountsError:
            # What is wrong with the token is said to whoever sends the form.
            known = False
        return pages.render(request, visits.of(request), "verify", token=token, known=known)

    @router.post("/verify")
    def verify(request: Request, form: Form) -> Response:
        """Confirmed, logged in, the first key made: this person has just proven who they are."""
        visit = visits.of(request)
        token = str(form.get("token", ""))
        try:
            visits.require_own_form(request, visit, form)
            password = str(form.get("password", ""))
            account_id = people.verify(token, password, visits.browser(request))
            with service.database.write() as session:
                opened = people.open_session(session, session.get_one(Account, account_id))
                wish = keys.KeyRequest(FIRST_NAME, (keys.ALL_MODELS, keys.GIVES_FEEDBACK))
                held = keys.list_keys(session, account_id)
                shown = None if held else keys.make_key(session, account_id, wish)
        except AccountsError as error:
            return pages.refused(request, visit, "verify", error, token=token, known=False)
        login = people.who(opened.token)
        response = keys_page.render(request, Visit(login, login.csrf), login, shown, first=True)
        visits.open(response, opened)
        return response

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

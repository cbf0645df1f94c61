"""Pages where somebody registers, and proves that the address is theirs."""

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
from console.pages import Pages
from console.visit import Visit, Visits


def sign_up_pages(service: Service, visits: Visits, pages: Pages, keys_page: KeysPage) -> APIRouter:
    """Registration and verification."""
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

    return router

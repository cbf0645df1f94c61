"""Logging in by an outside provider: there and back again."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from accounts import staff
from accounts.errors import AccountsError
from accounts.oidc import OpenIdProvider, new_challenge, read_challenge
from accounts.service import Service
from console.pages import Pages, see_other
from console.visit import Visits

CALLBACK = "/login/callback"
COOKIE_SECONDS = 600


def provider_pages(
    service: Service, visits: Visits, pages: Pages, provider: OpenIdProvider
) -> APIRouter:
    """The two addresses; only there where a provider is configured."""
    router = APIRouter(include_in_schema=False)
    cookie = f"{'__Host-' if visits.secure else ''}provider"

    @router.get("/login/provider")
    def leave(request: Request) -> Response:
        challenge = new_challenge()
        try:
            address = provider.address(challenge)
        except AccountsError as error:
            return pages.refused(request, visits.of(request), "login", error, email="")
        response = RedirectResponse(address, status_code=303)
        response.set_cookie(
            cookie,
            challenge.as_text(),
            max_age=COOKIE_SECONDS,
            secure=visits.secure,
            httponly=True,
            samesite="lax",
        )
        return response

    @router.get(CALLBACK)
    def come_back(request: Request, state: str = "", code: str = "") -> Response:
        try:
            challenge = read_challenge(request.cookies.get(cookie, ""))
            identity = provider.identity(challenge, state, code)
            with service.database.write() as session:
                account = service.people.account_of_subject(
                    session, identity.subject, identity.email
                )
                roles = service.settings.roles_of_groups
                staff.take_groups(session, account, identity.groups, roles)
                opened = service.people.open_session(session, account)
        except AccountsError as error:
            response = pages.refused(request, visits.of(request), "login", error, email="")
        else:
            response = see_other("/keys")
            visits.open(response, opened)
        response.delete_cookie(cookie, secure=visits.secure, httponly=True, samesite="lax")
        return response

    return router

"""The page of a customer's own domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from accounts import domains
from accounts.errors import AccountsError, InvalidValueError, NotFoundError
from accounts.keys import ALL_MODELS
from accounts.people import Login
from accounts.routes.domains import own_host
from accounts.service import Service
from console.form import Form
from console.pages import Pages, see_other
from console.visit import Visit, Visits

BADGES = {"pending": "warned", "proven": "warned", "active": "good", "removing": ""}
STATES = {
    "pending": "waits for its proof",
    "proven": "waits for its certificate",
    "active": "answers",
    "removing": "is being taken away",
}


def domain_pages(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """Add, prove, limit and remove; the last is asked about first."""
    router = APIRouter(include_in_schema=False)
    database = service.database

    def render(
        request: Request,
        visit: Visit,
        login: Login,
        error: AccountsError | None = None,
        form: Mapping[str, Any] | None = None,
    ) -> Response:
        with database.read() as session:
            listed = domains.listed(session, login.account_id)
        values: dict[str, Any] = {
            "domains": listed,
            "models": service.settings.model_names,
            "badges": BADGES,
            "states": STATES,
            "host": own_host(service),
            "form": {name: str((form or {}).get(name, "")) for name in ("name", "rate_per_second")},
        }
        if error is not None:
            return pages.refused(request, visit, "domains", error, **values)
        return pages.render(request, visit, "domains", **values)

    @router.get("/domains")
    def list_domains(request: Request) -> Response:
        return render(request, *visits.require(request))

    @router.post("/domains")
    def add(request: Request, form: Form) -> Response:
        visit, login = visits.require(request)
        try:
            visits.require_own_form(request, visit, form)
            with database.write() as session:
                domains.add(
                    session,
                    login.account_id,
                    str(form.get("name", "")),
                    own_host(service),
                    _models(form),
                    _rate(form),
                )
        except AccountsError as error:
            return render(request, visit, login, error, form)
        return see_other("/domains")

    @router.get("/domains/{name}")
    def one(request: Request, name: str) -> Response:
        visit, login = visits.require(request)
        with database.read() as session:
            listed = domains.listed(session, login.account_id)
        found = next((view for view in listed if view.name == name), None)
        if found is None:
            raise NotFoundError("there is no such domain")
        return pages.render(
            request, visit, "domain", domain=found, models=service.settings.model_names
        )

    @router.post("/domains/{name}/{action}")
    def change(request: Request, name: str, action: str, form: Form) -> Response:
        visit, login = visits.require(request)
        try:
            visits.require_own_form(request, visit, form)
            with database.write() as session:
                if action == "check":
                    domains.look_now(session, login.account_id, name)
                elif action == "limits":
                    domains.set_limits(session, login.account_id, name, _models(form), _rate(form))
                elif action == "remove":
                    domains.remove(session, login.account_id, name)
                else:
                    raise NotFoundError("there is nothing at this URL")
        except AccountsError as error:
            return render(request, visit, login, error)
        return see_other("/domains")

    return router


def _models(form: FormData) -> tuple[str, ...]:
    return tuple(str(model) for model in form.getlist("models")) or (ALL_MODELS,)


def _rate(form: Mapping[str, Any]) -> int | None:
    text = str(form.get("rate_per_second", "")).strip()
    if not text:
        return None
    if not text.isdecimal() or len(text) > 6:
        raise InvalidValueError(f"{text[:20]!r} is no whole number", "rate_per_second")
    return int(text)
